"""Carry a job from its inputs to its results."""
