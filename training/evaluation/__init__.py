"""What a checkpoint does on the held-out split, measured."""
