"""TorchScript files: what Inception and CLIP were published as, and in no other form."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def torchscript_allowed() -> Iterator[None]:
    """torch advises against TorchScript for new work; files that exist already are still to be read."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"`torch\.jit", category=FutureWarning)
        yield
