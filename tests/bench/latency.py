"""How long one 256 px image takes from upload to PNG, and how much of that is not the model."""

import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import httpx2 as httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.media.audio import read_window
from service.media.limits import MediaLimits
from service.model.engine import Engine
from tests.bench.processes import processor_seconds

SIDE = 256
WARM_UP_ROUNDS = 3


@dataclass(frozen=True)
class Latency:
    """Milliseconds. whole: upload to PNG. graphs: the three graphs alone, run directly in between.

    outside: median of the paired differences. ratio: whole to graphs. parts: medians of what the jobs say of
    themselves. processor: time on the processors that an image costs in all processes, which other work on the
    machine hardly changes.
    """

    rounds: int
    whole_ms: float
    whole_p90_ms: float
    graphs_ms: float
    outside_ms: float
    ratio: float
    parts_ms: dict[str, float]
    processor_ms: float


def measure_latency(address: str, pid: int, engine: Engine, photos: list[Path], sound: Path, rounds: int) -> Latency:
    """Take turns: one request to the service, one direct run of the graphs on the same image and sound.

    photos: `SIDE` px images, used in turn, so that no result can be remembered.
    """
    waveform = _window(engine, sound)
    whole, graphs = [], []
    parts: dict[str, list[float]] = defaultdict(list)
    used = 0.0
    with httpx.Client(base_url=address, timeout=120) as client:
        for index in range(WARM_UP_ROUNDS + rounds):
            photo = photos[index % len(photos)]
            request_seconds, job = _time_request(client, photo, sound)
            graphs_seconds = _time_graphs(engine, photo, waveform)
            if index < WARM_UP_ROUNDS:
                used = processor_seconds(pid)
                continue
            whole.append(1000 * request_seconds)
            graphs.append(1000 * graphs_seconds)
            for name, seconds in job["seconds"].items():
                parts[name].append(1000 * seconds)
    used = processor_seconds(pid) - used
    outside = [one - other for one, other in zip(whole, graphs, strict=True)]
    return Latency(
        rounds=rounds,
        whole_ms=median(whole),
        whole_p90_ms=quantiles(whole, n=10)[-1],
        graphs_ms=median(graphs),
        outside_ms=median(outside),
        ratio=median(one / other for one, other in zip(whole, graphs, strict=True)),
        parts_ms={name: median(found) for name, found in parts.items()},
        processor_ms=1000 * used / rounds,
    )


def _time_request(client: httpx.Client, photo: Path, sound: Path) -> tuple[float, dict[str, Any]]:
    """Seconds from upload to PNG, and (asked afterwards) the job that it was."""
    files = {"image": photo.read_bytes(), "audio": sound.read_bytes()}
    began = time.perf_counter()
    answer = client.post("/stylize", files=files, headers={"Accept": "image/png"})
    seconds = time.perf_counter() - began
    answer.raise_for_status()
    if answer.headers["content-type"] != "image/png":
        raise RuntimeError(f"the answer is not an image: {answer.text[:200]}")
    job: dict[str, Any] = client.get(answer.headers["location"]).raise_for_status().json()
    return seconds, job


def _time_graphs(engine: Engine, photo: Path, waveform: NDArray[np.float32]) -> float:
    with Image.open(photo) as image:
        pixels = np.asarray(image.convert("RGB"), np.float32)
    image = pixels.transpose(2, 0, 1)[None] / np.float32(255)  # [1, 3, H, W]
    began = time.perf_counter()
    engine.decode(engine.encode(image), engine.embed(waveform[None]))
    return time.perf_counter() - began


def _window(engine: Engine, sound: Path) -> NDArray[np.float32]:
    manifest = engine.manifest
    *_, waveform = read_window(sound, MediaLimits(), manifest.sample_rate_hz, manifest.clip_samples)
    assert isinstance(waveform, np.ndarray)
    return waveform
