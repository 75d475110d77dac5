"""Workers whose files lie in a bucket, each as if on a host of its own."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from service.jobs.record import JobState, StoredInput
from service.jobs.submission_repository import NewJob
from service.media.decoder_pool import DecoderPool
from service.redis.connection import Client, connect
from service.schemas.requests import ImageRequest, VideoRequest
from service.settings import Settings
from service.storage.folder import Storage
from service.storage.open_storage import open_storage
from service.work import job_runner, segment_maker
from service.work.engines import Engines
from service.work.job_runner import JobRunner
from tests.service.jobs.harness import delete, read, submit
from tests.support.media import make_noise, make_photo, png_bytes, write_wav
from tests.support.object_store import ObjectStore
from tests.support.video import Clip, noise_track, write_video

Host = Callable[..., tuple[JobRunner, Storage]]
JOB = "1" * 32


@pytest.fixture
def host(
    store: ObjectStore, client: Client, redis_url: str, settings: Settings, decoder_pool: DecoderPool, tmp_path: Path
) -> Iterator[Host]:
    """A worker with a disk of its own, by the host's name, which calls for help as is given."""
    with ExitStack() as stack:

        def open_host(name: str, call: Callable[[str, int], None] = lambda *_: None) -> tuple[JobRunner, Storage]:
            places = {"data_dir": tmp_path / name, "storage": store.url, "s3_endpoint": store.endpoint}
            own = settings.model_copy(update=places)
            storage = stack.enter_context(closing(open_storage(own)))
            storage.prepare()
            connected = stack.enter_context(connect(redis_url))
            return JobRunner(connected, storage, Engines(own), decoder_pool, own, name, call), storage

        yield open_host


def hand_in(redis_url: str, storage: Storage, kind: str, files: dict[str, Path], **parameters: Any) -> None:
    """Queue a job as an API does."""
    request: Any = ImageRequest(**parameters) if kind == "image" else VideoRequest(**parameters)
    stored = tuple(StoredInput(field=field, sha256=f"{n:064}", bytes=1) for n, field in enumerate(files))
    folder = storage.begin(JOB)
    for one in stored:
        (folder / one.sha256).write_bytes(files[one.field].read_bytes())
    for keep in storage.persist_tasks(JOB, [one.sha256 for one in stored]):
        keep()
    storage.release_scratch(JOB)
    submit(redis_url, NewJob(JOB, request.model_dump(mode="json"), stored, "f", total=1, kind=kind))  # type: ignore[arg-type]


@pytest.fixture
def image(tmp_path: Path) -> dict[str, Path]:
    (tmp_path / "photo.png").write_bytes(png_bytes(make_photo(40, 30)))
    return {"image": tmp_path / "photo.png", "audio": write_wav(tmp_path / "rain.wav", make_noise(4.0))}


def test_a_store_that_goes_away_costs_no_job(
    host: Host, store: ObjectStore, redis_url: str, image: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_runner, "_STORE_PAUSE_SECONDS", 0.0)
    (worker, storage), (_, api) = host("worker"), host("api")
    hand_in(redis_url, api, "image", image)
    store.stop()
    for _ in range(5):  # more often than a job may lose its worker
        worker.run(JOB)
        assert read(redis_url, JOB).state is JobState.QUEUED
    store.start()
    write_result = type(storage).write_result

    def write_when_it_is_gone(self: Storage, job_id: str, content: bytes) -> str:
        store.stop()
        return write_result(self, job_id, content)

    with monkeypatch.context() as patch:
        patch.setattr(type(storage), "write_result", write_when_it_is_gone)
        worker.run(JOB)
    assert read(redis_url, JOB).state is JobState.QUEUED
    store.start()
    worker.run(JOB)
    record = read(redis_url, JOB)
    assert record.state is JobState.SUCCEEDED
    (result,) = record.results
    assert len(b"".join(api.read_result(JOB, result.sha256, 0, result.bytes))) == result.bytes
    assert len(store.stored()) == 3  # two uploads, one result


def test_a_job_cancelled_while_its_result_is_stored_leaves_no_object(
    host: Host, store: ObjectStore, redis_url: str, image: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    (worker, storage), (_, api) = host("worker"), host("api")
    hand_in(redis_url, api, "image", image)
    write_result = type(storage).write_result

    def write_too_late(self: Storage, job_id: str, content: bytes) -> str:
        delete(redis_url, job_id)
        api.erase(job_id)
        return write_result(self, job_id, content)

    monkeypatch.setattr(type(storage), "write_result", write_too_late)
    worker.run(JOB)
    assert read(redis_url, JOB).state is JobState.CANCELLED
    assert store.stored() == set()


@pytest.fixture
def video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """A video of six segments."""
    monkeypatch.setattr("service.work.video._PART_SECONDS", 1.0)
    return {"video": write_video(tmp_path / "a.mp4", Clip(frames=60), noise_track(6.0))}


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[int]]:
    """The segments that each of two threads makes, neither of which makes one before the other begins."""
    by_thread: dict[str, list[int]] = {}
    render, both = segment_maker.render, threading.Barrier(2)

    def counted(engine: Any, plan: Any, segment: Any, progress: Any) -> Any:
        name = threading.current_thread().name
        if name not in by_thread:
            both.wait(60)
        by_thread.setdefault(name, []).append(segment.first)
        return render(engine, plan, segment, progress)

    monkeypatch.setattr(segment_maker, "render", counted)
    return by_thread


@pytest.fixture
def helper(host: Host) -> Iterator[threading.Thread]:
    """Helps with the job, once it is started, on a host of its own."""
    thread = threading.Thread(target=host("helper")[0].help, args=[JOB], name="helper")
    yield thread
    thread.join()


def test_workers_without_a_common_disk_share_a_video(
    host: Host,
    helper: threading.Thread,
    store: ObjectStore,
    redis_url: str,
    video: dict[str, Path],
    rendered: dict[str, list[int]],
) -> None:
    holder, storage = host("holder", lambda *_: helper.start())
    hand_in(redis_url, storage, "video", video, gain_db=6.0)
    holder.run(JOB)
    helper.join()
    record = read(redis_url, JOB)
    assert record.state is JobState.SUCCEEDED, record.error
    assert sorted(first for segments in rendered.values() for first in segments) == [
        0,
        10,
        20,
        30,
        40,
        50,
    ]  # none twice
    assert len(rendered) == 2
    assert store.stored() == {f"jobs/{JOB}/inputs/{0:064}", f"jobs/{JOB}/results/{record.results[0].sha256}"}


@pytest.mark.usefixtures("rendered")
def test_a_helper_of_a_job_that_is_cancelled_leaves_no_part_behind(
    host: Host,
    helper: threading.Thread,
    store: ObjectStore,
    redis_url: str,
    video: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    holder, storage = host("holder", lambda *_: helper.start())
    hand_in(redis_url, storage, "video", video, gain_db=6.0)
    share, erased = type(storage).share, threading.Event()

    def share_too_late(self: Storage, job_id: str, path: Path) -> None:
        if threading.current_thread() is helper:
            delete(redis_url, job_id)
            assert erased.wait(60)
        share(self, job_id, path)

    monkeypatch.setattr(type(storage), "share", share_too_late)
    holder.run(JOB)
    assert read(redis_url, JOB).state is JobState.CANCELLED
    assert store.stored() == set()
    erased.set()
    helper.join()
    assert store.stored() == set()
