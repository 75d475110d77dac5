"""Benchmarks of the real service; `make bench` runs them, `make test` does not."""
