"""The whole service with its files in a bucket: API and two workers as processes that share no disk."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import psutil
import pytest

from service.media.limits import MediaLimits
from service.media.video_manifest import read_manifest
from service.redis.connection import connect
from tests.end_to_end.conftest import CLIENT_SECONDS
from tests.end_to_end.test_durability import LONG_RESULTS, check_success, submit, submit_long, wait_for
from tests.end_to_end.test_video import after_frames, submit_video
from tests.faults.cluster import Cluster
from tests.support.object_store import ObjectStore, running_store
from tests.support.processes import until
from tests.support.running_service import ROOT, free_port
from tests.support.video import Clip, noise_track, write_video

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    with running_store(tmp_path_factory.mktemp("store")) as running:
        yield running


@pytest.fixture(scope="module")
def cluster(bucket: ObjectStore, tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[Cluster]:
    own = {"default_model": "tiny", "lease_seconds": "5", "threads": "1"}
    folder = tmp_path_factory.mktemp("cluster")
    with Cluster(folder, models_dir, free_port(), 2, "images,videos", bucket, **own) as running:
        yield running


@pytest.fixture
def http(cluster: Cluster) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=cluster.address, timeout=CLIENT_SECONDS, follow_redirects=True) as client:
        yield client


def job_files(bucket: ObjectStore, url: str, part: str = "") -> set[str]:
    return {key for key in bucket.stored() if key.startswith(f"jobs/{url.rpartition('/')[2]}/{part}")}


def kill_the_worker_of(cluster: Cluster, url: str) -> None:
    """The pool process that holds the job, and the worker that it belongs to."""
    with connect(cluster.redis_url) as client:
        _, pid, *_ = str(client.hget(f"adis:job:{url.rpartition('/')[2]}", "owner")).split("/")
    parent = psutil.Process(int(pid)).ppid()
    for process in (parent, int(pid)):
        os.kill(process, signal.SIGKILL)


def test_an_image_is_stylized_and_fetched_from_the_bucket(
    http: httpx.Client, bucket: ObjectStore, cluster: Cluster, photo: bytes, rain: bytes
) -> None:
    url = submit(http, photo, rain)
    check_success(http, url)
    answer = http.get(f"{url}/results/0")
    assert str(answer.url).startswith(bucket.endpoint)
    assert answer.content == http.get(f"{url}/results/0?redirect=false").content
    assert answer.content.startswith(b"\xff\xd8")  # a JPEG, as what came in
    assert len(job_files(bucket, url)) == 3
    disks = cluster.log.parent / "disks"
    assert {path.name for path in disks.rglob("*") if path.is_file()} == {"lock"}
    held = http.post("/stylize", files={"image": photo, "audio": rain}, headers={"Accept": "image/jpeg"})
    assert (held.status_code, held.content) == (200, answer.content)


def test_the_command_saves_results_from_the_bucket(cluster: Cluster, tmp_path: Path, photo: bytes, rain: bytes) -> None:
    (tmp_path / "photo.jpg").write_bytes(photo)
    (tmp_path / "rain.ogg").write_bytes(rain)
    command = [sys.executable, "-m", "service", "stylize", "photo.jpg", "rain.ogg", "--server", cluster.address]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "photo-stylized.jpg").read_bytes().startswith(b"\xff\xd8")


def test_a_killed_worker_loses_no_job(http: httpx.Client, bucket: ObjectStore, cluster: Cluster, rain: bytes) -> None:
    url = submit_long(http, rain)
    until(lambda: job_files(bucket, url, "results/") or None)
    kill_the_worker_of(cluster, url)
    check_success(http, url, LONG_RESULTS)
    results = {result["sha256"] for result in http.get(url).json()["results"]}
    assert {key.rpartition("/")[2] for key in job_files(bucket, url, "results/")} == results


def test_a_cancelled_job_leaves_no_object(http: httpx.Client, bucket: ObjectStore, rain: bytes) -> None:
    url = submit_long(http, rain)
    until(lambda: job_files(bucket, url, "results/") or None)
    assert http.delete(url).status_code == 204
    next_one = submit_long(http, rain)
    until(lambda: job_files(bucket, next_one, "results/") or None)
    assert http.delete(next_one).status_code == 204
    until(lambda: True if not job_files(bucket, url) | job_files(bucket, next_one) else None)


def test_a_store_that_goes_away_and_an_api_that_is_killed_lose_no_job(
    http: httpx.Client, bucket: ObjectStore, cluster: Cluster, photo: bytes, rain: bytes
) -> None:
    long = submit_long(http, rain)
    waiting = submit(http, photo, rain)
    bucket.stop()
    try:
        refused = http.post("/stylize", files={"image": photo, "audio": rain})
        assert (refused.status_code, bool(refused.headers["Retry-After"])) == (503, True)
        assert http.get("/readyz").json()["missing"] == ["storage"]
        cluster.harm("api", signal.SIGKILL)
    finally:
        bucket.start()
    until(lambda: True if cluster.is_ready() else None)
    check_success(http, long, LONG_RESULTS)
    check_success(http, waiting)


def test_a_video_is_shared_and_carried_on_when_its_holder_is_killed(
    http: httpx.Client, bucket: ObjectStore, cluster: Cluster, tmp_path: Path
) -> None:
    clip = Clip(width=320, height=180, fps=5, frames=300, key_every=10)
    source = write_video(tmp_path / "minute.mp4", clip, noise_track(60.0))
    url = submit_video(http, source, gain_db="6")
    with connect(cluster.redis_url) as client:
        until(lambda: True if len({client.get(key) for key in client.scan_iter("adis:segment:*")}) == 2 else None)
    after_frames(http, url, 50)
    until(lambda: True if any(key.endswith(".json") for key in job_files(bucket, url, "work/")) else None)
    kill_the_worker_of(cluster, url)
    job = wait_for(http, url, "succeeded", "failed")
    assert (job["state"], job["progress"]["done"]) == ("succeeded", 300), job
    (tmp_path / "b.mp4").write_bytes(http.get(job["results"][0]["url"]).content)
    limits = MediaLimits()
    assert read_manifest(tmp_path / "b.mp4", limits).timeline.pts == read_manifest(source, limits).timeline.pts
    assert http.delete(url).status_code == 204
    assert job_files(bucket, url) == set()
