"""Training: paired images and sounds in, PyTorch checkpoints out."""
