"""What the service's processes take from the machine, as Linux counts it."""

import os
from pathlib import Path


def family(pid: int) -> list[int]:
    """The process and everything that it started, directly or not."""
    children = [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]
    return [pid, *(process for child in children for process in family(child))]


def processor_seconds(pid: int) -> float:
    """Processor time of the whole family so far, with that of its members that have ended."""
    return sum(_ticks(process) for process in family(pid)) / os.sysconf("SC_CLK_TCK")


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


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(ticks) for ticks in fields[11:15])  # own and of ended children, in user and system mode
