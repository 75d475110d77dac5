"""The near side of a helper: start it, ask it, and end it."""

import errno
import fcntl
import logging
import os
import select
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, TypeVar

import numpy as np

from service.errors import MediaError
from service.media.fork_server import start_helper
from service.media.wire import (
    REPLY_HEAD,
    Call,
    Request,
    empty_array,
    kind_of,
    problem_of,
    value_of,
    write_request,
)

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

_MEMORY_BYTES: Final = 4 * 1024**3  # address space; libraries map about 1 GiB of it before the first file
_PIPE_BYTES: Final = 1024**2  # what Linux grants everybody
_START_SECONDS: Final = 120.0  # on a machine that is very busy
_MOST_JSON_BYTES: Final = 64 * 1024**2


class DecoderLost(Exception):
    """A helper has died, or was ended since it did not answer in time."""


class DecoderKilled(DecoderLost):
    """Somebody else ended it (an operator, or the system for want of memory): its file need not be at fault."""


class DecoderProcess:
    """One running helper, for one thread at a time.

    tasks: that it was given. is_busy: whether it still owes something for the last one. is_confined: whether network
    and other programs are closed to it; files_closed: whether files are. Both are known after its first task.
    """

    def __init__(self, files: Mapping[str, int] | None = None) -> None:
        """files: rights (service.media.landlock) on all that it may open beside the system's; None: on everything."""
        self._helper = start_helper(_MEMORY_BYTES, files)
        self._replies = self._helper.replies.fileno()
        with suppress(OSError):  # it is faster so, and works without
            fcntl.fcntl(self._replies, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._ready = False
        self._wants_files_closed = files is not None
        self.is_confined = self.files_closed = False
        self.tasks = 0
        self.is_busy = False

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._helper.is_alive

    @property
    def pid(self) -> int:
        """Of the process; waits until it has begun."""
        return self._helper.pid

    def ask(self, request: Request, kind: Any, wall_seconds: float) -> Any:
        """The answer, of that type (an array for np.ndarray), or None at the end of an iterator.

        Raises what the task raised, MemoryError if it takes more than a helper has, and DecoderLost.
        """
        self.is_busy = True
        if not self._ready:
            self.is_confined, self.files_closed = self._read_reply(list[bool], time.monotonic() + _START_SECONDS)
            self._ready = True
            if not self.is_confined:
                logger.warning("network and other programs are open to decoders: this system has no seccomp filters")
            if self._wants_files_closed and not self.files_closed:
                logger.warning("all files are open to decoders: this system has no Landlock")
        self.tasks += isinstance(request, Call)
        try:
            write_request(self._helper.requests, request)
        except BrokenPipeError as exc:
            raise self._lost() from exc
        return self._read_reply(kind, time.monotonic() + wall_seconds)

    def end(self) -> None:
        """Whatever it does."""
        self._helper.end()

    def _read_reply(self, kind: Any, deadline: float) -> Any:
        said, described_bytes, array_bytes = REPLY_HEAD.unpack(self._read(REPLY_HEAD.size, deadline))
        if described_bytes > _MOST_JSON_BYTES:
            raise DecoderLost("it said more than it may")
        described = bytes(self._read(described_bytes, deadline))
        self.is_busy = False  # for all but an array, and the next of an iterator
        match kind_of(said):
            case "value":
                self.is_busy = True
                return value_of(described, kind)
            case "array":
                self.is_busy = True
                array = empty_array(described, array_bytes)
                self._fill(array.reshape(-1).view(np.uint8).data, deadline)
                return array
            case "end":
                return None
            case "problem":
                raise problem_of(described)
            case "no-memory":
                raise MemoryError
            case "os-error":
                failed = value_of(described, dict[str, Any])
                raise OSError(failed["errno"] or errno.EIO, failed["detail"])
            case _:
                raise RuntimeError(f"a helper failed:\n{value_of(described, str)}")

    def _read(self, count: int, deadline: float) -> bytearray:
        content = bytearray(count)
        self._fill(memoryview(content), deadline)
        return content

    def _fill(self, left: memoryview, deadline: float) -> None:
        waiting = select.poll()
        waiting.register(self._replies, select.POLLIN)
        while len(left):
            if not waiting.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise DecoderLost("it did not answer in time")
            count = os.readv(self._replies, [left])
            if count == 0:
                raise self._lost()
            left = left[count:]

    def _lost(self) -> DecoderLost:
        code = self._helper.wait(10)
        lost = DecoderKilled if code == -signal.SIGKILL else DecoderLost
        return lost(f"it ended with code {code}")


def twice_if_killed(ask: Callable[[], Result]) -> Result:
    """Ask again if somebody ended the helper; a second time would be the file's own doing."""
    try:
        return ask()
    except MediaError as exc:
        if not isinstance(exc.__cause__, DecoderKilled):
            raise
        return ask()
