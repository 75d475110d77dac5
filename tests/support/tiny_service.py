"""The real service with the tiny bundle as its only model."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.running_service import RunningService, running_service
from tests.support.tiny_bundle import write_tiny_bundle


@contextmanager
def tiny_service(folder: Path, **settings: str) -> Iterator[RunningService]:
    """`running_service` with its models and its data below `folder`."""
    bundle = write_tiny_bundle(folder / "models" / "tiny")
    with running_service(folder / "data", bundle.parent, default_model="tiny", **settings) as running:
        yield running
