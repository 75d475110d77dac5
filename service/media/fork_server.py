"""The near side of what helpers are forked from: one process for each process that opens foreign files.

It has imported what helpers need, so that one starts in a hundredth of the time and shares the memory of it.
"""

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from service.media.confinement import decoder_environment

_ENVIRONMENT: Final = {
    "MALLOC_ARENA_MAX": "2",  # each thread's own arena would reserve address space that counts
    # what a small file needs is kept for the next one; taken anew from the system it cost a quarter of the time
    "MALLOC_MMAP_THRESHOLD_": str(1024**2),
    "MALLOC_TRIM_THRESHOLD_": str(16 * 1024**2),
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}
_MESSAGE_BYTES: Final = 64


class Helper:
    """A process that the fork server has forked. requests: to write to; replies: to read from; both binary pipes."""

    def __init__(self, requests: int, replies: int, life: socket.socket) -> None:
        """life: says `pid N` when it has begun and `ended CODE` when it has; closed here, it is killed."""
        self.requests, self.replies = os.fdopen(requests, "wb"), os.fdopen(replies, "rb", buffering=0)
        self._life = life
        self._pid: int | None = None
        self._code: int | None = None

    @property
    def pid(self) -> int:
        """Waits until it has one."""
        self._listen(lambda: self._pid is not None, None)
        if self._pid is None:
            raise ProcessLookupError("the fork server was killed before it began")
        return self._pid

    @property
    def is_alive(self) -> bool:
        """Whether it runs, or is about to."""
        return self.wait(0) is None

    def wait(self, timeout: float) -> int | None:
        """The code that it ended with, negative for a signal's number; None if it still runs after that time."""
        self._listen(lambda: self._code is not None, timeout)
        return self._code

    def end(self) -> None:
        """Kill it and wait until it is gone, whatever it does."""
        with suppress(OSError):  # the fork server is gone, and it with it
            self._life.shutdown(socket.SHUT_WR)
        with suppress(BrokenPipeError):  # of a request that nobody has read
            self.requests.close()
        self.replies.close()
        self._listen(lambda: self._code is not None, None)
        self._life.close()

    def _listen(self, knows: Callable[[], bool], timeout: float | None) -> None:
        """Until it knows, or for that time."""
        if knows() or self._code is not None:  # the socket may be closed
            return
        until = None if timeout is None else time.monotonic() + timeout
        waiting = select.poll()
        waiting.register(self._life, select.POLLIN)
        while not knows() and self._code is None:
            if not waiting.poll(None if until is None else max(0.0, until - time.monotonic()) * 1000):
                return
            try:
                said = self._life.recv(_MESSAGE_BYTES).split()
            except ConnectionResetError:
                said = []
            match said:
                case [b"pid", number]:
                    self._pid = int(number)
                case [b"ended", code]:
                    self._code = int(code)
                case _:  # the fork server was killed, and so is what it forked
                    self._code = -signal.SIGKILL


class _ForkServer:
    """A running `service.media.decoder_program`. Raises OSError where that has ended."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "service.media.decoder_program", str(theirs.fileno())],
                stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], env=decoder_environment(_ENVIRONMENT),
            )  # fmt: skip

    def start(self, memory_bytes: int, files: Mapping[str, int] | None) -> Helper:
        """Does not wait for it."""
        life, their_life = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        their_requests, requests = os.pipe()
        replies, their_replies = os.pipe()
        order = {"memory_bytes": memory_bytes, "files": None if files is None else dict(files)}
        try:
            socket.send_fds(
                self._socket, [json.dumps(order).encode()], [their_requests, their_replies, their_life.fileno()]
            )
        except OSError:
            for pipe in (requests, replies):
                os.close(pipe)
            life.close()
            raise
        finally:
            for pipe in (their_requests, their_replies):
                os.close(pipe)
            their_life.close()
        return Helper(requests, replies, life)

    def end(self) -> None:
        self._socket.close()
        self._process.wait()

    def forget(self) -> None:
        """In a process that was forked from the one it belongs to."""
        self._socket.close()
        self._process.returncode = 0  # it is not this process's to wait for


class _ForkServerOfThisProcess:
    """Starts the fork server when the first helper is wanted, and again where it was killed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fork_server: _ForkServer | None = None
        atexit.register(self._end)
        os.register_at_fork(after_in_child=self._begin_anew)

    def start(self, memory_bytes: int, files: Mapping[str, int] | None) -> Helper:
        with self._lock:
            if self._fork_server is not None:
                try:
                    return self._fork_server.start(memory_bytes, files)
                except ConnectionError:
                    self._fork_server.end()
            self._fork_server = _ForkServer()
            return self._fork_server.start(memory_bytes, files)

    def _end(self) -> None:
        if self._fork_server is not None:
            self._fork_server.end()
            self._fork_server = None

    def _begin_anew(self) -> None:
        """In a process that was forked from the one the fork server belongs to."""
        self._lock = threading.Lock()
        if self._fork_server is not None:
            self._fork_server.forget()
            self._fork_server = None


_fork_server: Final = _ForkServerOfThisProcess()


def start_helper(memory_bytes: int, files: Mapping[str, int] | None) -> Helper:
    """Start one that may take that much address space, and do not wait for it; its first reply says how it is confined.

    files: rights (service.media.landlock) on all that it may open beside the system's; None: on everything.
    """
    return _fork_server.start(memory_bytes, files)
