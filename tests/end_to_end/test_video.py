"""A video through the whole service: followed, cancelled, and carried on after its worker was killed."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from service.media.limits import MediaLimits
from service.media.video_manifest import read_manifest
from tests.end_to_end.test_durability import check_success, serving, submit, wait_for
from tests.support.processes import child_named, children_of, until
from tests.support.running_service import RunningService
from tests.support.video import Clip, noise_track, write_video

pytestmark = pytest.mark.timeout(1200)

Serving = tuple[RunningService, httpx.Client]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("video") / "data", models_dir) as both:
        yield both


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a minute: some seconds of work in four parts."""
    clip = Clip(width=640, height=360, fps=10, frames=300, key_every=20)
    return write_video(tmp_path_factory.mktemp("clips") / "long.mp4", clip, noise_track(30.0))


def submit_video(http: httpx.Client, video: Path, **form: str) -> str:
    answer = http.post("/stylize/video", files={"video": video.read_bytes()}, data=form)
    assert answer.status_code == 202, answer.text
    url: str = answer.headers["Location"]
    return url


def after_frames(http: httpx.Client, url: str, frames: int) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        job: dict[str, Any] = http.get(url).json()
        return job if job["progress"]["done"] >= frames or job["state"] not in ("queued", "running") else None

    return until(look)


def test_a_video_is_restyled_and_its_progress_counts_frames(running: Serving, tmp_path: Path) -> None:
    _, http = running
    source = write_video(tmp_path / "a.mp4", Clip(frames=40), noise_track(4.0))
    url = submit_video(http, source, gain_db="6")
    job = wait_for(http, url, "succeeded", "failed")
    assert job["state"] == "succeeded", job
    assert job["progress"] == {"done": 40, "total": 40, "unit": "frames"}
    answer = http.get(job["results"][0]["url"])
    assert (answer.headers["Content-Type"], len(answer.content)) == ("video/mp4", job["results"][0]["bytes"])
    (tmp_path / "b.mp4").write_bytes(answer.content)
    limits = MediaLimits()
    assert read_manifest(tmp_path / "b.mp4", limits).timeline.pts == read_manifest(source, limits).timeline.pts
    middle = http.get(job["results"][0]["url"], headers={"Range": "bytes=100-199"})
    assert (middle.status_code, middle.content) == (206, answer.content[100:200])


def test_images_do_not_wait_for_a_video(running: Serving, long_clip: Path, photo: bytes, rain: bytes) -> None:
    _, http = running
    url = submit_video(http, long_clip)
    after_frames(http, url, 1)
    check_success(http, submit(http, photo, rain))
    assert http.get(url).json()["state"] == "running"
    assert http.delete(url).status_code == 204


def test_a_cancelled_video_makes_room_for_the_next_and_its_files_go(running: Serving, long_clip: Path) -> None:
    service, http = running
    url = submit_video(http, long_clip)
    after_frames(http, url, 1)
    assert http.delete(url).status_code == 204
    short = submit_video(http, long_clip)
    after_frames(http, short, 1)  # the worker has taken the next one
    assert http.delete(short).status_code == 204
    jobs = service.log.with_suffix("") / "jobs"
    until(lambda: True if not any(jobs.glob(f"{url.rpartition('/')[2]}*")) else None)


@contextmanager
def another_worker(redis_url: str, data_dir: Path, models_dir: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A second worker for videos, as on another host that shares Redis and the files."""
    own = {"REDIS_URL": redis_url, "DATA_DIR": str(data_dir), "MODELS_DIR": str(models_dir), "DEFAULT_MODEL": "tiny"}
    environment = os.environ | {f"ADIS_{name}": value for name, value in own.items()}
    command = [sys.executable, "-m", "service", "worker", "--queues", "videos"]
    with log.open("ab") as output, subprocess.Popen(command, env=environment, stdout=output, stderr=output) as worker:
        until(lambda: True if "runs on cpu" in log.read_text() else None)
        yield worker
        worker.terminate()


def test_a_worker_killed_on_a_shared_video_costs_its_part_alone(
    tmp_path: Path, models_dir: Path, redis_url: str
) -> None:
    clip = Clip(width=320, height=180, fps=5, frames=300, key_every=10)
    source = write_video(tmp_path / "minute.mp4", clip, noise_track(60.0))
    data, log = tmp_path / "data", tmp_path / "other.log"
    with (
        serving(data, models_dir, redis_url=redis_url) as (service, http),
        another_worker(redis_url, data, models_dir, log),
    ):
        url = submit_video(http, source, gain_db="6")
        logs = [service.log, log]
        until(lambda: True if all("begins" in one.read_text() for one in logs) else None)  # both are at it
        after_frames(http, url, 50)
        (pool_process,) = children_of(child_named(service.pid, "videos"))
        os.kill(pool_process, signal.SIGKILL)
        job = wait_for(http, url, "succeeded", "failed")
        assert (job["state"], job["progress"]["done"]) == ("succeeded", 300), job
        (tmp_path / "b.mp4").write_bytes(http.get(job["results"][0]["url"]).content)
        begun = [number for one in logs for number in re.findall(r"part (\d+) of job \w+ begins", one.read_text())]
    twice = len(begun) - len(set(begun))
    assert twice <= 1
    limits = MediaLimits()
    assert read_manifest(tmp_path / "b.mp4", limits).timeline.pts == read_manifest(source, limits).timeline.pts


def test_a_killed_worker_costs_the_part_it_was_at(running: Serving, long_clip: Path) -> None:
    service, http = running
    url = submit_video(http, long_clip)
    after_frames(http, url, 100)  # the first part of four is finished
    work = service.log.with_suffix("") / "jobs" / url.rpartition("/")[2] / "work"
    finished = {path: path.stat().st_mtime_ns for path in work.glob("*-[0-9]*.mp4")}
    assert finished
    (pool_process,) = children_of(child_named(service.pid, "videos"))
    os.kill(pool_process, signal.SIGKILL)
    after_frames(http, url, 200)
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    job = wait_for(http, url, "succeeded", "failed")
    assert (job["state"], job["progress"]["done"]) == ("succeeded", 300), job
