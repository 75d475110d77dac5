"""A worker process and its queue, for jobs with videos."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from service.jobs.record import StoredInput
from service.jobs.submission_repository import NewJob
from service.kind import Kind
from service.media.decoder_pool import DecoderPool
from service.media.limits import MediaLimits
from service.redis.connection import Client
from service.schemas.requests import PreviewRequest, VideoRequest
from service.settings import Settings
from service.storage.folder import Storage
from service.work.engines import Engines
from service.work.job_runner import JobRunner
from tests.service.jobs.harness import submit
from tests.support.tiny_bundle import write_tiny_bundle

_ids = itertools.count()

Queue = Callable[..., str]


@pytest.fixture(scope="session")
def decoder_pool() -> Iterator[DecoderPool]:
    with DecoderPool(MediaLimits()) as opened:
        yield opened


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    models = write_tiny_bundle(tmp_path / "models" / "tiny").parent
    return Settings(models_dir=models, default_model="tiny", data_dir=tmp_path / "data")


@pytest.fixture
def storage(settings: Settings) -> Storage:
    storage = Storage(settings.data_dir)
    storage.prepare()
    return storage


@pytest.fixture
def workshop(client: Client, storage: Storage, settings: Settings, decoder_pool: DecoderPool) -> JobRunner:
    return JobRunner(client, storage, Engines(settings), decoder_pool, settings, worker="w")


@pytest.fixture
def queued(redis_url: str, storage: Storage) -> Queue:
    """Queue a video job with these files and parameters; returns its id."""

    def queue(video: Path, audio: Path | None = None, kind: Kind = "video", **parameters: Any) -> str:
        request = PreviewRequest(**parameters) if kind == "preview" else VideoRequest(**parameters)
        files = [("video", video)] + ([("audio", audio)] if audio else [])
        stored = tuple(StoredInput(field=field, sha256=f"{n:064}", bytes=1) for n, (field, _) in enumerate(files))
        job = NewJob(f"{next(_ids):032x}", request.model_dump(mode="json"), stored, "f", total=1, kind=kind)
        folder = storage.begin(job.id)
        for one, (_, path) in zip(stored, files, strict=True):
            (folder / one.sha256).write_bytes(path.read_bytes())
        submit(redis_url, job)
        return job.id

    return queue
