"""Export: the bundle equals the networks, and lands whole or not at all."""
