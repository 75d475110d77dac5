"""How much memory the service's processes take at their peak for large images (Linux)."""

import time
from dataclasses import dataclass
from pathlib import Path

import httpx2 as httpx

from tests.bench.processes import forget_peaks, peak_mb
from tests.support.processes import family_of

LOOK_AGAIN_SECONDS = 0.2


@dataclass(frozen=True)
class PeakMemory:
    """Megabytes (10^6). largest_mb: the process that took most, which is the worker that made the image."""

    width: int
    height: int
    largest_mb: float
    all_mb: float
    seconds: float


def measure_memory(address: str, pid: int, photo: Path, sound: Path, width: int, height: int) -> PeakMemory:
    """Send one large photograph and read the peak of every process that the service started."""
    processes = [pid, *family_of(pid)]
    forget_peaks(processes)
    began = time.perf_counter()
    with httpx.Client(base_url=address, timeout=120) as client:
        _stylize(client, photo, sound)
    seconds = time.perf_counter() - began
    peaks = [peak_mb(process) for process in processes]
    return PeakMemory(width, height, largest_mb=max(peaks), all_mb=sum(peaks), seconds=seconds)


def _stylize(client: httpx.Client, photo: Path, sound: Path) -> None:
    """One job from its upload to its result's bytes, however long it takes."""
    files = {"image": photo.read_bytes(), "audio": sound.read_bytes()}
    answer = client.post("/stylize", files=files, data={"format": "jpeg"}, headers={"Prefer": "wait=60"})
    job = answer.raise_for_status().json()
    while job["state"] in ("queued", "running"):
        time.sleep(LOOK_AGAIN_SECONDS)
        job = client.get(job["url"]).raise_for_status().json()
    if job["state"] != "succeeded":
        raise RuntimeError(f"the large image failed: {job['error']}")
    client.get(job["results"][0]["url"]).raise_for_status()
