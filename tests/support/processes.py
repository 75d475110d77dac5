"""Look at the processes of a running service, and wait for what happens in them."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import psutil

Found = TypeVar("Found")

PATIENCE_SECONDS = 250.0


def children_of(pid: int) -> list[int]:
    """The processes that `pid` started and that still run."""
    return [child.pid for child in psutil.Process(pid).children() if is_running(child.pid)]


def family_of(pid: int) -> list[int]:
    """Every process below `pid` that still runs."""
    return [below.pid for below in psutil.Process(pid).children(recursive=True) if is_running(below.pid)]


def child_named(pid: int, word: str) -> int:
    """The child of `pid` whose command line has this word."""
    (child,) = [child for child in children_of(pid) if has_word(child, word)]
    return child


def has_word(pid: int, word: str) -> bool:
    """Whether the command line, which a program may have rewritten, has this word; of a path the last part."""
    with suppress(psutil.NoSuchProcess):
        words = " ".join(psutil.Process(pid).cmdline()).split()
        return word in [part.rpartition("/")[2] for part in words]
    return False


def is_running(pid: int) -> bool:
    """Whether there is such a process, and it has not ended."""
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def until(look: Callable[[], Found | None]) -> Found:
    """Poll until something is there to see; raises AssertionError if that takes minutes."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if (found := look()) is not None:
            return found
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")
