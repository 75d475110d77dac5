"""Serve audio-driven image stylization: a photograph and a driving sound in, the restyled photograph out."""

__version__ = "0.5.0"  # the one source: pyproject.toml reads it, and a release's tag must equal it
