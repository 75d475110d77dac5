"""Published weights of others as checkpoints of ours."""
