"""What the service's processes take from the machine, as Linux counts it."""

from contextlib import suppress
from pathlib import Path

import psutil

from tests.support.processes import family_of


def processor_seconds(pid: int) -> float:
    """Processor time of the process and all below it so far, with that of its members that have ended."""
    total = 0.0
    for process in [pid, *family_of(pid)]:
        with suppress(psutil.NoSuchProcess):  # it has just ended: the one that started it counts it
            times = psutil.Process(process).cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def memory_bytes(pid: int) -> int:
    """Memory of the process and all below it, shared pages counted once (proportional set size)."""
    total = 0
    for process in [pid, *family_of(pid)]:
        with suppress(psutil.NoSuchProcess):
            total += psutil.Process(process).memory_full_info().pss
    return total


def forget_peaks(processes: list[int]) -> None:
    """Let every process's peak of memory start again from now."""
    for process in processes:
        Path(f"/proc/{process}/clear_refs").write_text("5")


def peak_mb(pid: int) -> float:
    """Most memory that one process held at once, in 10^6 bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError(f"process {pid} says nothing of its peak")
