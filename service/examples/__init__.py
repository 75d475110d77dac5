"""Sounds and images that the service makes itself, so that there is something to try without own files."""
