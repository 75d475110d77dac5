"""A bundle is replaced while jobs run: each job is of one version, and its receipt names that one."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.jobs.record import JobState
from service.media.decoder_pool import DecoderPool
from service.model.engine import Engine
from service.redis.connection import Client
from service.settings import Settings
from service.storage.folder import Storage
from service.work import segment_maker
from service.work.engines import Engines
from service.work.job_runner import JobRunner
from tests.service.jobs.harness import read
from tests.service.work.conftest import Queue
from tests.service.work.video_harness import succeeded
from tests.support.tiny_bundle import make_decoder, replace_tiny_bundle
from tests.support.video import Clip, noise_track, write_video

Runner = Callable[..., JobRunner]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"threads": 2})  # so that there are lanes, with an engine of their own


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("service.work.video._PART_SECONDS", 1.0)
    return write_video(tmp_path / "a.mp4", Clip(frames=40), noise_track(4.0))


@pytest.fixture
def runner(client: Client, storage: Storage, settings: Settings, decoder_pool: DecoderPool) -> Runner:
    """A worker process that has opened no model yet."""

    def make(worker: str = "w", request_helpers: Callable[[str, int], None] = lambda *_: None) -> JobRunner:
        return JobRunner(client, storage, Engines(settings), decoder_pool, settings, worker, request_helpers)

    return make


@pytest.fixture
def replace(settings: Settings) -> Callable[[], str]:
    """Put a bundle with another look in place; its SHA-256."""
    return lambda: replace_tiny_bundle(settings.models_dir / "tiny", "2.0.0", make_decoder(-1.0))


def test_a_video_ends_on_the_model_that_it_began_with(
    runner: Runner, replace: Callable[[], str], storage: Storage, redis_url: str, queued: Queue, source: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    worker, undisturbed = runner(), queued(source, gain_db=6.0)
    worker.run(undisturbed)
    _, expected, before = succeeded(redis_url, storage, undisturbed)
    render, seen = segment_maker.render, []

    def replace_then_render(engine: Engine, *more: Any) -> Any:
        if not seen:
            replace()
        seen.append(engine.manifest.version)
        return render(engine, *more)

    monkeypatch.setattr(segment_maker, "render", replace_then_render)
    disturbed, next_one = queued(source, gain_db=6.0), queued(source, gain_db=6.0)
    worker = runner()  # has its lanes' engine still to open
    worker.run(disturbed)
    worker.run(next_one)
    assert seen == ["1.0.0"] * 4 + ["2.0.0"] * 4
    _, result, receipt = succeeded(redis_url, storage, disturbed)
    assert (receipt["model_version"], receipt["model_sha256"]) == ("1.0.0", before["model_sha256"])
    assert result.read_bytes() == expected.read_bytes()
    _, result, receipt = succeeded(redis_url, storage, next_one)
    assert receipt["model_version"] == "2.0.0"
    assert result.read_bytes() != expected.read_bytes()


def test_a_video_whose_worker_died_is_made_anew_if_its_model_is_gone(
    runner: Runner, replace: Callable[[], str], storage: Storage, redis_url: str, queued: Queue, source: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    render, seen = segment_maker.render, []

    def dying(engine: Engine, *more: Any) -> Any:
        seen.append(engine.manifest.version)
        if len(seen) == 3:
            raise ConnectionError("the process dies")
        return render(engine, *more)

    monkeypatch.setattr(segment_maker, "render", dying)
    monkeypatch.setattr("service.work.job_runner.JobRunner._fail", lambda *_: None)
    job_id = queued(source, gain_db=6.0)
    runner().run(job_id)
    sha256 = replace()
    runner().run(job_id)
    fresh = queued(source, gain_db=6.0)
    runner().run(fresh)
    assert seen == ["1.0.0"] * 3 + ["2.0.0"] * 8
    _, result, receipt = succeeded(redis_url, storage, job_id)
    assert receipt["model_sha256"] == sha256
    assert result.read_bytes() == succeeded(redis_url, storage, fresh)[1].read_bytes()


def test_a_helper_with_another_version_leaves_the_video_alone(
    runner: Runner, replace: Callable[[], str], storage: Storage, redis_url: str, queued: Queue, source: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    render, rendered_by = segment_maker.render, []

    def watched(*arguments: Any) -> Any:
        rendered_by.append(threading.current_thread().name)
        return render(*arguments)

    def call(job_id: str, _count: int) -> None:
        replace()
        helper = threading.Thread(target=runner("other").help, args=[job_id], name="helper")
        helper.start()
        helper.join()

    monkeypatch.setattr(segment_maker, "render", watched)
    job_id = queued(source, gain_db=6.0)
    runner(request_helpers=call).run(job_id)
    assert len(rendered_by) == 4
    assert "helper" not in rendered_by
    assert read(redis_url, job_id).state is JobState.SUCCEEDED
