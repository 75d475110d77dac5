"""Input that nobody sane would send."""
