"""How many images a second the service makes for one client and for several at once."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import httpx2 as httpx

CLIENTS = (1, 2, 4, 8)


@dataclass(frozen=True)
class Throughput:
    """images_per_second: median over the cycles. ratio: median, over the cycles, to one client in the same cycle."""

    clients: int
    images_per_second: float
    ratio: float


def measure_throughput(address: str, photos: list[Path], sound: Path, requests: int, cycles: int) -> list[Throughput]:
    """Every cycle runs each number of clients once, `requests` images in all, so that drift meets them alike."""
    rates: dict[int, list[float]] = {clients: [] for clients in CLIENTS}
    for _ in range(cycles):
        for clients in CLIENTS:
            rates[clients].append(_rate(address, photos, sound, requests, clients))
    return [
        Throughput(
            clients=clients,
            images_per_second=median(found),
            ratio=median(one / alone for one, alone in zip(found, rates[1], strict=True)),
        )
        for clients, found in rates.items()
    ]


def _rate(address: str, photos: list[Path], sound: Path, requests: int, clients: int) -> float:
    bodies = [photo.read_bytes() for photo in photos]
    sound_bytes = sound.read_bytes()
    with httpx.Client(base_url=address, timeout=300) as client, ThreadPoolExecutor(clients) as pool:

        def send(index: int) -> None:
            files = {"image": bodies[index % len(bodies)], "audio": sound_bytes}
            answer = client.post("/stylize", files=files, headers={"Accept": "image/png", "Prefer": "wait=60"})
            answer.raise_for_status()

        began = time.perf_counter()
        for _ in pool.map(send, range(requests)):
            pass
        return requests / (time.perf_counter() - began)
