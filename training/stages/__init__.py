"""The stages of a training run, one file each."""
