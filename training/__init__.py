"""Training: paired pictures and sounds in, PyTorch checkpoints out."""
