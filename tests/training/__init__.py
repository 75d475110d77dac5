"""Training: data, networks, losses, loop and evaluation."""
