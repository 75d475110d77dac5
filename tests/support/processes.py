"""VideoFormat at the processes of a running service, and wait for what happens in them."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

Found = TypeVar("Found")

PATIENCE_SECONDS = 250.0


def children_of(pid: int) -> list[int]:
    """The processes that `pid` started and that still run."""
    return [int(entry.name) for entry in Path("/proc").glob("[0-9]*") if _parent(entry) == pid]


def family_of(pid: int) -> list[int]:
    """Every process below `pid`."""
    children = children_of(pid)
    return children + [below for child in children for below in family_of(child)]


def child_named(pid: int, word: str) -> int:
    """The child of `pid` whose command line has this word."""
    (child,) = [child for child in children_of(pid) if has_word(child, word)]
    return child


def has_word(pid: int, word: str) -> bool:
    """Whether the process's command line has this word; of a path the last part."""
    return word in _words(pid)


def is_running(pid: int) -> bool:
    """Whether there is such a process."""
    return _parent(Path(f"/proc/{pid}")) is not None


def until(look: Callable[[], Found | None]) -> Found:
    """Poll until something is there to see; raises AssertionError if that takes minutes."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if (found := look()) is not None:
            return found
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


def _words(pid: int) -> list[str]:
    """The command line, which a program may have rewritten; of a path the last part."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().replace("\0", " ").split()
    except OSError:  # it has just ended
        return []
    return [word.rpartition("/")[2] for word in words]


def _parent(entry: Path) -> int | None:
    try:
        state, parent, *_ = (entry / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if state == "Z" else int(parent)
