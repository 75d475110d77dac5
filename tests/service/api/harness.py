"""The API in this process on a real Valkey, with a stand-in for the worker where a job has to end."""

import json
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from service.api.app import create_app
from service.api.context import Context
from service.api.sweep import sweep
from service.jobs.lease import claim
from service.jobs.owner import Owner
from service.jobs.record import StoredResult
from service.jobs.worker_registry import BEAT_SECONDS, Runtime, WorkerRegistration
from service.redis.connection import connect
from service.settings import Settings
from service.storage.folder import Storage
from tests.service.jobs.harness import MODEL, TERMS
from tests.support.lent_decoders import lent_decoders
from tests.support.media import make_noise, make_photo, png_bytes, write_wav

HEARD: dict[str, Any] = {
    "windows": [{"start_seconds": 0.0, "length_seconds": 3.0}],
    "loudness_dbfs": -70.0,
    "peak": 0.001,
    "effect": 0.0,
    "nearest": [{"name": "rain", "score": 0.5, "known": True}],
    "speech_share": None,
    "warnings": [{"code": "silence", "detail": "it is silent"}],
}
PHOTO = png_bytes(make_photo(24, 16))
RESULT = b"0123456789" * 10


def sound_bytes(seconds: float = 1.0) -> bytes:
    """A WAV file."""
    with tempfile.TemporaryDirectory() as folder:
        return write_wav(Path(folder) / "sound.wav", make_noise(seconds)).read_bytes()


SOUND = sound_bytes()
GOOD = [("image", ("photo.png", PHOTO)), ("audio", ("rain.wav", SOUND))]


def stored_files(data_dir: Path) -> set[str]:
    """Names of all files of the service, some of which may be on their way out."""
    return {name for _, _, names in os.walk(data_dir) for name in names}


async def sweep_once(context: Context) -> None:
    """What the API does now and then."""
    await sweep(context.storage, context.submissions, context.uploads, context.settings.result_ttl_seconds)


def settings(data_dir: Path, **values: Any) -> Settings:
    return Settings(data_dir=data_dir, **values, _env_file=None)  # type: ignore[call-arg]


@contextmanager
def api(url: str, data_dir: Path, **values: Any) -> Iterator[TestClient]:
    """The running application; values: settings."""
    app = create_app(settings(data_dir, **values), url)
    with lent_decoders(), TestClient(app, "http://127.0.0.1:8000", raise_server_exceptions=False) as client:
        yield client


@contextmanager
def repeated(action: Callable[[], object], seconds: float) -> Iterator[None]:
    """Do something again and again while the block runs."""
    stop = threading.Event()

    def repeat() -> None:
        while not stop.wait(seconds):
            action()

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def somebody_at_work(url: str) -> Iterator[None]:
    """A worker that is there, and does nothing."""
    with connect(url) as client:
        registration = WorkerRegistration(client, "w")
        registration.register([MODEL], ["images", "videos"])
        registration.announce_runtime(Runtime(provider="cpu", runtime="onnxruntime 1"))
        with repeated(registration.beat, BEAT_SECONDS):
            yield
        registration.deregister()


def finish(
    url: str,
    data_dir: Path,
    job_id: str,
    problem: dict[str, Any] | None = None,
    results: int | None = None,
    storage: Storage | None = None,
) -> None:
    """End the job as a worker would: with a problem, or with `RESULT` for each of its results.

    storage: where results go if not below data_dir.
    """
    with connect(url) as client:
        lease = claim(client, job_id, Owner("elsewhere", 1, "1", "w"), TERMS)
        assert lease is not None
        if problem is not None:
            lease.fail(problem)
            return
        sha256 = (storage or Storage(data_dir)).write_result(job_id, RESULT)
        stored = StoredResult(
            sha256=sha256,
            bytes=len(RESULT),
            media_type="image/png",
            width=24,
            height=16,
            gain_db=0.0,
            heard=HEARD,
            receipt={"model": "demo", "gain_db": 0.0},
        )
        lease.succeed([stored] * (results or lease.record.total), {"decode": 0.25})


@contextmanager
def somebody_finishing(url: str, data_dir: Path, problem: dict[str, Any] | None = None) -> Iterator[None]:
    """A worker that ends every job as soon as it is queued."""
    with connect(url) as client, somebody_at_work(url):

        def finish_all() -> None:
            for job_id in [*client.zrange("adis:queued:image", 0, -1), *client.zrange("adis:queued:video", 0, -1)]:
                finish(url, data_dir, job_id, problem)

        with repeated(finish_all, 0.01):
            yield


def events_of(text: str) -> list[dict[str, Any]]:
    """The events of a stream: id, event and data of each."""
    blocks = [dict(line.split(": ", 1) for line in block.splitlines()) for block in text.split("\n\n") if block]
    return [block | {"data": json.loads(block["data"])} for block in blocks if "data" in block]
