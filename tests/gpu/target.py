"""What is measured, how thoroughly and by when; and the figures that every part uses."""

import ctypes
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import Any


@dataclass
class Target:
    """provider: cuda or cpu. quick: hardly any rounds and small sizes, for trying the program out.

    deadline: by the clock of `time.monotonic`; what would begin after it is left out.
    """

    provider: str
    quick: bool
    deadline: float
    left_out: list[str] = field(default_factory=list)

    @property
    def device(self) -> str:
        """As PyTorch calls it."""
        return self.provider

    def has_time_for(self, what: str, seconds: float) -> bool:
        """Whether that many seconds are left; if not, `what` is noted as left out."""
        if self.deadline - time.monotonic() >= seconds:
            return True
        self.left_out.append(what)
        return False


def find_gpu() -> str | None:
    """The first GPU's name by the driver; None where there is no driver or no GPU."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    device, name = ctypes.c_int(), ctypes.create_string_buffer(128)
    if driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(device), 0) or driver.cuDeviceGetName(name, 128, device):
        return None
    return name.value.decode()


def timed(run: Callable[[], Any], seconds: float, least: int = 3, most: int = 200) -> dict[str, float]:
    """Milliseconds p50 and p90 of `run`, which returns when its result is there, over `seconds` after a warm-up."""
    run()
    run()
    taken: list[float] = []
    began = time.perf_counter()
    while len(taken) < least or (len(taken) < most and time.perf_counter() - began < seconds):
        start = time.perf_counter()
        run()
        taken.append(1000 * (time.perf_counter() - start))
    return {"p50_ms": median(taken), "p90_ms": quantiles(taken, n=10)[-1], "rounds": len(taken)}


def memory_bytes(target: Target) -> int:
    """What is in use: of the GPU by all processes; on the CPU this process's peak."""
    if target.provider == "cpu":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    import torch

    free, total = torch.cuda.mem_get_info()
    return total - free
