"""Jobs outlive whatever happens to the processes: a stop, a killed child, a killed worker, a killed service."""

import asyncio
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from service.client import AsyncClient, Client
from service.client.models import Job
from service.client.requests import image_form
from tests.end_to_end.conftest import CLIENT_SECONDS
from tests.support.media import make_photo, png_bytes, tiled_photo
from tests.support.processes import child_named, children_of, family_of, has_word, is_running, until
from tests.support.running_service import RunningService, running_service

pytestmark = pytest.mark.timeout(1200)

LONG_RESULTS = 10


@contextmanager
def serving(data_dir: Path, models_dir: Path, **settings: str) -> Iterator[tuple[RunningService, httpx.Client]]:
    with (
        running_service(data_dir, models_dir, default_model="tiny", **settings) as running,
        httpx.Client(base_url=running.address, timeout=CLIENT_SECONDS) as http,
    ):
        yield running, http


def submit(http: httpx.Client, image: bytes, audio: bytes, **form: str) -> str:
    """The new job's address."""
    answer = http.post("/stylize", files={"image": image, "audio": audio}, data=form)
    assert answer.status_code == 202, answer.text
    url: str = answer.headers["Location"]
    return url


def submit_long(http: httpx.Client, audio: bytes, results: int = LONG_RESULTS) -> str:
    """Some seconds of work: many results of six megapixels. Returns when it runs."""
    gains = ",".join(str(gain) for gain in range(-results, 0))
    url = submit(http, png_bytes(tiled_photo(3000, 2000)), audio, gains_db=gains)
    wait_for(http, url, "running")
    return url


def wait_for(http: httpx.Client, url: str, *states: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        job: dict[str, Any] = http.get(url).json()
        return job if job.get("state") in states else None

    return until(look)


def check_success(http: httpx.Client, url: str, results: int = 1) -> None:
    job = wait_for(http, url, "succeeded", "failed", "cancelled")
    assert (job["state"], len(job["results"])) == ("succeeded", results), job
    assert http.get(job["results"][-1]["url"]).status_code == 200


def test_a_stopped_service_keeps_its_queue(tmp_path: Path, models_dir: Path, photo: bytes, rain: bytes) -> None:
    with serving(tmp_path / "data", models_dir, stop_seconds="0") as (_, http):
        long = submit_long(http, rain)
        waiting = [submit(http, photo, rain, gain_db=gain) for gain in ("-9", "-6", "-3")]
        assert {http.get(url).json()["state"] for url in waiting} == {"queued"}
    with serving(tmp_path / "data", models_dir) as (_, http):
        check_success(http, long, LONG_RESULTS)
        for url in waiting:
            check_success(http, url)


def test_a_stop_lets_the_running_job_end(tmp_path: Path, models_dir: Path, rain: bytes) -> None:
    with serving(tmp_path / "data", models_dir, stop_seconds="250") as (_, http):
        gains = ",".join(str(gain) for gain in range(-4, 0))
        url = submit(http, png_bytes(make_photo(1000, 1000)), rain, gains_db=gains)
        wait_for(http, url, "running")
    with serving(tmp_path / "data", models_dir) as (_, http):
        job = http.get(url).json()
    assert job["state"] == "succeeded"


@pytest.fixture(scope="module")
def robust(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[tuple[RunningService, httpx.Client]]:
    """A service whose processes may be killed."""
    with serving(tmp_path_factory.mktemp("robust") / "data", models_dir, lease_seconds="5") as started:
        yield started


def test_a_killed_pool_process_loses_no_job(
    robust: tuple[RunningService, httpx.Client], photo: bytes, rain: bytes
) -> None:
    running, http = robust
    urls = [submit_long(http, rain), submit(http, photo, rain)]
    (pool_process,) = children_of(child_named(running.pid, "images"))
    os.kill(pool_process, signal.SIGKILL)
    check_success(http, urls[0], LONG_RESULTS)
    check_success(http, urls[1])


def test_a_killed_worker_loses_no_job(robust: tuple[RunningService, httpx.Client], rain: bytes) -> None:
    running, http = robust
    long = submit_long(http, rain)
    os.kill(child_named(running.pid, "images"), signal.SIGKILL)
    check_success(http, long, LONG_RESULTS)


def test_a_killed_api_answers_again_at_the_same_address(
    robust: tuple[RunningService, httpx.Client], photo: bytes, rain: bytes
) -> None:
    running, http = robust
    url = submit(http, photo, rain)
    os.kill(child_named(running.pid, "api"), signal.SIGKILL)
    # the supervisor holds the socket: a connection that comes meanwhile waits
    with httpx.Client(base_url=running.address, timeout=CLIENT_SECONDS) as other:
        check_success(other, url)


def test_a_killed_queue_server_keeps_its_jobs(
    robust: tuple[RunningService, httpx.Client], photo: bytes, rain: bytes
) -> None:
    running, http = robust
    url = submit(http, photo, rain)
    check_success(http, url)
    before = http.get(url).json()
    time.sleep(1.5)  # its log is on disk after a second at most
    server = child_named(running.pid, "valkey-server")
    os.kill(server, signal.SIGKILL)
    until(lambda: True if not is_running(server) else None)
    until(lambda: True if http.get("/readyz").status_code == 200 else None)
    assert http.get(url).json() == before
    check_success(http, submit(http, photo, rain))


def test_programs_wait_while_the_queue_server_is_away(
    robust: tuple[RunningService, httpx.Client], rain: bytes, tmp_path: Path
) -> None:
    running, _ = robust
    photo, sound = tmp_path / "photo.png", tmp_path / "rain.ogg"
    photo.write_bytes(png_bytes(tiled_photo(3000, 2000)))
    sound.write_bytes(rain)
    form = image_form(photo, [sound], {"gains_db": list(range(-LONG_RESULTS, 0))})

    async def wait_for_it(job: Job) -> Job:
        async with AsyncClient(running.address) as client:
            return await client.wait(job)

    with Client(running.address) as client, ThreadPoolExecutor(1) as thread:
        job = client.submit(form)
        time.sleep(1.5)  # its log is on disk after a second at most
        assert not client.job(job).ended
        os.kill(child_named(running.pid, "valkey-server"), signal.SIGKILL)
        other = thread.submit(asyncio.run, wait_for_it(job))
        ended = [client.wait(job), other.result()]
    assert [len(each.results) for each in ended] == [LONG_RESULTS, LONG_RESULTS]


def test_a_killed_service_leaves_nobody_behind_and_starts_again(tmp_path: Path, models_dir: Path, rain: bytes) -> None:
    with serving(tmp_path / "data", models_dir) as (running, http):
        long = submit_long(http, rain)
        family = family_of(running.pid)
        own = [
            pid for pid in family if not has_word(pid, "service.media.decoder_program")
        ]  # without those that open uploads
        assert len(own) == 6  # the queue's server, two workers with their pool processes, the API
        assert len(family) > len(own)
        os.kill(running.pid, signal.SIGKILL)
        until(lambda: True if not any(map(is_running, family)) else None)
    with serving(tmp_path / "data", models_dir) as (_, http):
        check_success(http, long, LONG_RESULTS)


def test_open_streams_and_held_answers_do_not_delay_a_stop(
    tmp_path: Path, models_dir: Path, photo: bytes, rain: bytes
) -> None:
    streams: list[str] = []
    held: list[int] = []
    with serving(tmp_path / "data", models_dir, stop_seconds="0") as (running, http):
        long = submit_long(http, rain)

        def follow() -> None:
            streams.append(http.get(f"{long}/events").text)

        def hold() -> None:
            files = {"image": photo, "audio": rain}
            held.append(http.post("/stylize", files=files, headers={"Prefer": "wait=60"}).status_code)

        threads = [threading.Thread(target=work) for work in (follow, hold)]
        for thread in threads:
            thread.start()
        time.sleep(2)
        os.kill(running.pid, signal.SIGTERM)
        for thread in threads:
            thread.join()
    last = [line for line in streams[0].splitlines() if line.startswith("data: ")][-1]
    assert json.loads(last.removeprefix("data: "))["state"] == "running"
    assert held == [202]
    assert "is killed" not in running.log.read_text()


def test_a_job_that_runs_too_long_fails_and_the_next_one_runs(
    tmp_path: Path, models_dir: Path, photo: bytes, rain: bytes
) -> None:
    with serving(tmp_path / "data", models_dir, max_job_seconds="5", max_gains="40") as (_, http):
        long = submit_long(http, rain, results=40)
        job = wait_for(http, long, "succeeded", "failed")
        assert job["state"] == "failed"
        assert (job["error"]["status"], job["error"]["type"]) == (413, "/problems/too-large")
        check_success(http, submit(http, photo, rain))


def test_a_crash_while_an_upload_is_looked_at_leaves_the_api_alone(
    tmp_path: Path, models_dir: Path, photo: bytes, rain: bytes
) -> None:
    with serving(tmp_path / "data", models_dir) as (running, http):
        api = child_named(running.pid, "api")
        helpers = family_of(api)
        assert helpers, "uploads are looked at in processes of their own"
        for helper in helpers:
            os.kill(helper, signal.SIGKILL)
        check_success(http, submit(http, photo, rain))
        assert child_named(running.pid, "api") == api
