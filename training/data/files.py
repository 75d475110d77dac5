"""Files that others see whole or not at all."""

from __future__ import annotations

import filecmp
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yields a path to write to, which replaces `path` at the end; a file that would not change is not touched."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        yield partial
        if not path.exists() or not filecmp.cmp(partial, path, shallow=False):
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
