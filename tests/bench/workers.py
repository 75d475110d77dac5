"""Videos by several workers: what a second one gains, and how soon all of them stop when the client cancels."""

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from service.jobs.queue import make_queue, send
from service.jobs.record import JobState, StoredInput
from service.jobs.submission_repository import NewJob
from service.schemas.requests import VideoRequest
from service.settings import Settings
from service.storage.folder import Storage
from tests.bench.rain import rainy_clip
from tests.service.jobs.harness import delete, read, submit
from tests.support.media import make_photo
from tests.support.processes import until
from tests.support.valkey import running_valkey
from tests.support.video import Clip

_STOPPED = ("is given up", "needs no more help", "helped with")


def measure_sharing(bundle: Path, work: Path, frames: int, rounds: int) -> dict[str, Any]:
    """A minute of video by one worker and by two, each on a core of its own, in turns."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    clip = Clip(width=256, height=144, fps=max(1, frames // 60), frames=frames, key_every=max(1, frames // 30))
    source = rainy_clip(work / "minute.mp4", clip, make_photo(640, 400))
    taken: dict[int, list[float]] = {1: [], 2: []}
    with running_valkey(work / "valkey") as url:
        for turn in range(rounds):
            for workers in (1, 2):
                data = work / f"shared-{turn}-{workers}"
                with ExitStack() as stack:
                    for core in cores[:workers]:
                        stack.enter_context(pinned_worker(url, data, bundle, core))
                    taken[workers].append(stylize_seconds(url, data, source))
    speedup = median(one / two for one, two in zip(taken[1], taken[2], strict=True))
    return {"one_seconds": median(taken[1]), "two_seconds": median(taken[2]), "speedup": speedup}


def measure_cancelling(bundle: Path, work: Path, rounds: int) -> dict[str, Any]:
    """Two workers share a minute of 720p; the seconds from the job's deletion until neither works on it."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    clip = Clip(width=1280, height=720, fps=10, frames=600, key_every=20)
    source, taken = rainy_clip(work / "long.mp4", clip, make_photo(1600, 1000)), []
    with running_valkey(work / "valkey-cancelled") as url, ExitStack() as stack:
        data = work / "cancelled"
        for core in cores:
            stack.enter_context(pinned_worker(url, data, bundle, core))
        logs = [data / f"{core}.log" for core in cores]
        for _ in range(rounds):
            job_id = hand_in(url, data, source)
            for log in logs:
                _wait_for_line(log, job_id, "begins")
            time.sleep(5)  # in mid part
            began = time.perf_counter()
            delete(url, job_id)
            for log in logs:
                _wait_for_line(log, job_id, *_STOPPED)
            taken.append(time.perf_counter() - began)
    return {"median_seconds": median(taken), "longest_seconds": max(taken)}


def _wait_for_line(log: Path, job_id: str, *words: str) -> None:
    """Until the log has a line on the job with any of the words."""

    def look() -> bool | None:
        lines = [line for line in log.read_text().splitlines() if job_id in line]
        return True if any(word in line for line in lines for word in words) else None

    until(look)


@contextmanager
def pinned_worker(url: str, data: Path, bundle: Path, core: int) -> Iterator[None]:
    """A real worker for videos on one core, ready for work."""
    data.mkdir(exist_ok=True)
    log = data / f"{core}.log"
    own = {"REDIS_URL": url, "DATA_DIR": data, "MODELS_DIR": bundle.parent, "DEFAULT_MODEL": bundle.name, "THREADS": 1}
    environment = os.environ | {f"ADIS_{name}": str(value) for name, value in own.items()}
    command = ["taskset", "-c", str(core), sys.executable, "-m", "service", "worker", "--queues", "videos"]
    with log.open("wb") as output, subprocess.Popen(command, env=environment, stdout=output, stderr=output) as worker:
        until(lambda: True if "runs on" in log.read_text() else None)
        yield
        worker.terminate()


def hand_in(url: str, data: Path, source: Path) -> str:
    """A new job's id; it is handed in as the API does."""
    storage, job_id = Storage(data), uuid.uuid4().hex
    storage.prepare()
    (storage.begin(job_id) / "source").write_bytes(source.read_bytes())
    stored = (StoredInput(field="video", sha256="source", bytes=1),)
    parameters = VideoRequest(gain_db=6.0).model_dump(mode="json")
    submit(url, NewJob(job_id, parameters, stored, job_id, 1, kind="video"))
    with make_queue(url, Settings().longest_job_seconds) as app:
        send(app, job_id, "video")
    return job_id


def stylize_seconds(url: str, data: Path, source: Path) -> float:
    """How long a job's images took."""
    job_id = hand_in(url, data, source)
    until(lambda: True if read(url, job_id).state.ended else None)
    record = read(url, job_id)
    if record.state is not JobState.SUCCEEDED:
        raise RuntimeError(f"the video failed: {record.error}")
    return record.seconds["stylize"]
