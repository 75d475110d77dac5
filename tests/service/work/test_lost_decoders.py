"""A file that ends, bloats or stalls its decoder costs its own job, and the worker goes on."""

from collections.abc import Callable

import pytest

from service.jobs.record import JobState
from service.media import decoder_pool as decoder_pool_module
from service.media.decoder_pool import DecoderPool
from service.media.limits import MediaLimits
from service.redis.connection import Client
from service.settings import Settings
from service.storage.folder import Storage
from service.work.engines import Engines
from service.work.job_runner import JobRunner
from tests.service.jobs.harness import read
from tests.service.work.test_job_runner import queued, settings  # noqa: F401  # fixtures
from tests.support.misbehaviour import bloat, crash, sleep


@pytest.mark.parametrize("misbehaving", [crash, bloat])
@pytest.mark.parametrize(("door", "field"), [("read_image", "image"), ("read_window", "audio")])
def test_a_file_that_ends_its_decoder_costs_its_own_job_only(
    door: str,
    field: str,
    misbehaving: Callable[..., None],
    workshop: JobRunner,
    redis_url: str,
    queued: Callable[..., str],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bad, good = queued(), queued()
    with monkeypatch.context() as patch:
        patch.setattr(decoder_pool_module, door, misbehaving)
        workshop.run(bad)
    workshop.run(good)
    record = read(redis_url, bad)
    assert record.error is not None
    assert record.error["type"] == {crash: "/problems/damaged-media", bloat: "/problems/too-large"}[misbehaving]
    assert record.error["field"] == field
    assert read(redis_url, good).state is JobState.SUCCEEDED


@pytest.mark.parametrize("door", ["read_image", "read_window"])
def test_a_decoder_that_never_ends_costs_its_own_job_only(
    door: str,
    workshop: JobRunner,
    client: Client,
    storage: Storage,
    settings: Settings,  # noqa: F811
    redis_url: str,
    queued: Callable[..., str],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bad, good = queued(), queued()
    with DecoderPool(MediaLimits(), wall_seconds=1.0) as hasty, monkeypatch.context() as patch:
        patch.setattr(decoder_pool_module, door, sleep)
        JobRunner(client, storage, Engines(settings), hasty, settings, worker="w").run(bad)
    workshop.run(good)
    record = read(redis_url, bad)
    assert record.error is not None
    assert "takes it too long" in record.error["detail"]
    assert read(redis_url, good).state is JobState.SUCCEEDED
