"""Name a worker's process so that another one on the same host can tell whether it is dead."""

import os
import socket
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Owner:
    """A process of the worker `worker` (an id).

    scope: in which process ids mean the same. born: tells it from a later process of the same id.
    """

    scope: str
    pid: int
    born: str
    worker: str

    def __str__(self) -> str:
        return f"{self.scope}/{self.pid}/{self.born}/{self.worker}"


def this_process(worker: str) -> Owner:
    """The calling process."""
    return Owner(_scope(), os.getpid(), _born(os.getpid()) or "", worker)


def belongs_to(name: str, worker: str) -> bool:
    """Whether the owner of this name is a process of `worker`."""
    return name.endswith(f"/{worker}")


def is_dead(name: str) -> bool:
    """Whether the owner of this name certainly runs no more; False where that cannot be known from here."""
    parts = name.split("/")
    if len(parts) != 4 or parts[0] != _scope() or not parts[1].isdigit() or not parts[2]:
        return False
    return _born(int(parts[1])) != parts[2]


def _scope() -> str:
    """This boot of this machine and the process-id namespace in it: two containers do not share one."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}.{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return socket.gethostname()


def _born(pid: int) -> str | None:
    """The process's start in clock ticks since boot; None if there is no such process (or no /proc)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in ("Z", "X") else fields[18]
