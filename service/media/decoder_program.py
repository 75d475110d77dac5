"""What helpers of the decoder pool are forked from: a program that has imported what they need, and opens no file.

    python -m service.media.decoder_program SOCKET

SOCKET: number of an open one, of the kind SOCK_SEQPACKET. An order is JSON, {"memory_bytes": N, "files": null or
rights}, with three descriptors: a pipe to read tasks from, one for the answers, and a socket that is told `pid N` at
the helper's beginning and `ended CODE` at its end, and kills it when the other side closes it. When the first socket is
closed, all helpers are killed, and the program ends.
"""

import gc
import json
import os
import resource
import select
import signal
import socket
import sys
import traceback
from contextlib import suppress
from typing import Final

from service.media.confinement import end_with_parent
from service.media.decoder_helper import serve

_MOST_ORDER_BYTES: Final = 65_536


class _ForkServer:
    """lives: the sockets of all helpers, by process number; wanted: of those that nobody has given up."""

    def __init__(self, orders: socket.socket) -> None:
        self._orders = orders
        self._lives: dict[int, socket.socket] = {}
        self._wanted: dict[int, socket.socket] = {}
        self._ended, ends = os.pipe()
        for pipe in (self._ended, ends):
            os.set_blocking(pipe, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(ends, warn_on_full_buffer=False)
        self._ends = ends

    def run(self) -> None:
        """Until the other side of the socket is closed."""
        while True:
            waited_for: list[socket.socket | int] = [self._orders, self._ended, *self._wanted.values()]
            ready, _, _ = select.select(waited_for, [], [])
            for pid in [pid for pid, life in self._wanted.items() if life in ready]:
                del self._wanted[pid]
                os.kill(pid, signal.SIGKILL)
            if self._ended in ready:
                os.read(self._ended, 1024)
                self._reap(os.WNOHANG)
            if self._orders in ready:
                order, descriptors, _, _ = socket.recv_fds(self._orders, _MOST_ORDER_BYTES, 3)
                if not order:
                    break
                self._start(order, *descriptors)
        for pid in self._lives:
            os.kill(pid, signal.SIGKILL)
        self._reap(0)

    def _start(self, order: bytes, requests: int, replies: int, life_descriptor: int) -> None:
        life = socket.socket(fileno=life_descriptor)
        this = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                end_with_parent(this)
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for other in (self._orders, life, *self._lives.values()):
                    other.close()
                for pipe in (self._ended, self._ends):
                    os.close(pipe)
                serve(requests, replies, **json.loads(order))
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
        os.close(requests)
        os.close(replies)
        self._lives[pid] = self._wanted[pid] = life
        _tell(life, f"pid {pid}")

    def _reap(self, options: int) -> None:
        while self._lives:
            pid, status = os.waitpid(-1, options)
            if pid == 0:
                return
            self._wanted.pop(pid, None)
            with self._lives.pop(pid) as life:
                _tell(life, f"ended {os.waitstatus_to_exitcode(status)}")


def _tell(life: socket.socket, what: str) -> None:
    with suppress(OSError):  # nobody listens any more
        life.send(what.encode())


def main() -> None:
    """Fork helpers until the other side of the socket is closed."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number in (signal.SIGINT, signal.SIGTERM):  # a stop of the whole service lets a running job end
        signal.signal(number, signal.SIG_IGN)
    os.dup2(2, 1)  # what a library prints is no answer
    gc.freeze()  # the collector would write to the pages that all share
    inherited = int(sys.argv[1])
    orders = socket.socket(fileno=os.dup(inherited))  # a number that select can take, whatever the other side has open
    os.close(inherited)
    _ForkServer(orders).run()


if __name__ == "__main__":
    main()
