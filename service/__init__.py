"""Serve audio-driven image stylization: a photograph and a driving sound in, the restyled photograph out."""

__version__ = "0.1.0"
