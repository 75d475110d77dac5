"""Checkpoint to bundle: the three graphs, and the proof that they equal the networks."""
