"""A worker process carries a queued job to its results, its problem, or its silent end."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from celery.exceptions import SoftTimeLimitExceeded
from PIL import Image

from service.errors import ModelNotFound
from service.jobs.record import JobRecord, JobState, StoredInput
from service.jobs.submission_repository import NewJob
from service.media.decoder_pool import DecoderPool
from service.redis.connection import Client
from service.schemas.requests import ImageRequest
from service.settings import Settings
from service.storage.folder import Storage
from service.work import image_job
from service.work.engines import Engines
from service.work.job_runner import JobRunner
from tests.service.jobs.harness import claimed, delete, read, submit
from tests.support.media import make_noise, make_photo, make_tone, png_bytes, write_wav
from tests.support.tiny_bundle import write_tiny_bundle

PHOTO = make_photo(40, 30)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    models = write_tiny_bundle(tmp_path / "models" / "tiny").parent
    write_tiny_bundle(models / "other")
    (models / "damaged").mkdir()
    (models / "damaged" / "manifest.json").write_text("{}")
    return Settings(models_dir=models, default_model="tiny", data_dir=tmp_path / "data", max_models=1)


@pytest.fixture
def queued(redis_url: str, storage: Storage, tmp_path: Path) -> Callable[..., str]:
    """Queue a job with these files and parameters; returns its id."""

    def queue(files: dict[str, list[bytes]] | None = None, **parameters: Any) -> str:
        rain = write_wav(tmp_path / "rain.wav", make_noise(4.0)).read_bytes()
        contents = {"image": [png_bytes(PHOTO)], "audio": [rain], **(files or {})}
        request = ImageRequest(**parameters)
        inputs = [(field, content) for field, parts in contents.items() for content in parts]
        stored = tuple(StoredInput(field=field, sha256=f"{n:064}", bytes=1) for n, (field, _) in enumerate(inputs))
        job = NewJob(f"{id(inputs):032x}", request.model_dump(mode="json"), stored, "f", len(request.gains))
        folder = storage.begin(job.id)
        for one, (_, content) in zip(stored, inputs, strict=True):
            (folder / one.sha256).write_bytes(content)
        submit(redis_url, job)
        return job.id

    return queue


def image(storage: Storage, record: JobRecord, index: int = 0) -> np.ndarray:
    content = storage.result_path(record.id, record.results[index].sha256).read_bytes()
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB"))


def test_a_job_becomes_an_image_with_its_reports(
    workshop: JobRunner, storage: Storage, redis_url: str, queued: Callable[..., str]
) -> None:
    job_id = queued()
    workshop.run(job_id)
    record = read(redis_url, job_id)
    assert record.state is JobState.SUCCEEDED
    (result,) = record.results
    assert (result.media_type, result.width, result.height) == ("image/png", 40, 30)
    stylized = image(storage, record)
    assert stylized.shape == PHOTO.shape
    assert stylized[..., 2].mean() > PHOTO[..., 2].mean()  # noise cools the tiny model's image
    assert result.heard["nearest"][0]["name"] == "noise"
    assert set(record.seconds) == {"model", "decode", "stylize", "encode"}


def test_the_receipt_tells_how_to_make_the_result_again(
    workshop: JobRunner, redis_url: str, queued: Callable[..., str]
) -> None:
    job_ids = [queued(gain_db=-6.0, strength=0.5), queued(gain_db=-6.0, strength=0.5)]
    for job_id in job_ids:
        workshop.run(job_id)
    first, second = (read(redis_url, job_id).results[0].receipt for job_id in job_ids)
    assert first == second  # the same request makes the same bytes
    assert (first["model"], first["model_version"], first["provider"]) == ("tiny", "1.0.0", "cpu")
    assert len(first["model_sha256"]) == len(first["sha256"]) == 64
    assert first["runtime"].startswith("onnxruntime ")
    assert (first["parameters"]["gain_db"], first["parameters"]["strength"]) == (-6.0, 0.5)
    assert [stored["field"] for stored in first["inputs"]] == ["image", "audio"]
    assert first["windows"][0]["length_seconds"] == 3.0
    assert first["loudness_dbfs"] < 0
    assert {"python", "numpy", "pillow", "av"} <= set(first["versions"])


def test_a_sweep_has_a_result_for_each_gain(
    workshop: JobRunner, storage: Storage, redis_url: str, queued: Callable[..., str]
) -> None:
    job_id = queued(gains_db=(-60.0, -20.0, 0.0), format="webp")
    workshop.run(job_id)
    record = read(redis_url, job_id)
    assert [result.gain_db for result in record.results] == [-60, -20, 0]
    assert {result.media_type for result in record.results} == {"image/webp"}
    changes = [np.abs(image(storage, record, index).astype(int) - PHOTO).mean() for index in range(3)]
    assert changes == sorted(changes)


def test_an_image_is_reduced_if_asked(
    workshop: JobRunner, storage: Storage, redis_url: str, queued: Callable[..., str]
) -> None:
    job_id = queued({"image": [png_bytes(make_photo(200, 100))]}, max_side=64)
    workshop.run(job_id)
    assert image(storage, read(redis_url, job_id)).shape == (32, 64, 3)


def test_sounds_are_mixed(workshop: JobRunner, redis_url: str, queued: Callable[..., str], tmp_path: Path) -> None:
    sounds = [
        write_wav(tmp_path / "s.wav", sound).read_bytes() for sound in (make_tone(3.0, amplitude=0.5), make_noise(1.0))
    ]
    job_id = queued({"audio": sounds}, weights=(1.0, 0.0))
    workshop.run(job_id)
    (result,) = read(redis_url, job_id).results
    assert result.heard["nearest"][0]["name"] == "tone"
    assert len(result.heard["windows"]) == 2


def test_a_fault_that_only_decoding_shows_is_the_jobs_problem(
    workshop: JobRunner, redis_url: str, queued: Callable[..., str]
) -> None:
    whole = png_bytes(make_photo(200, 200))
    job_id = queued({"image": [whole[: len(whole) // 2]]})
    workshop.run(job_id)
    record = read(redis_url, job_id)
    assert record.state is JobState.FAILED
    assert record.error is not None
    assert (record.error["status"], record.error["type"], record.error["field"]) == (
        422,
        "/problems/damaged-media",
        "image",
    )


def test_a_model_is_loaded_when_it_is_asked_for(
    workshop: JobRunner, redis_url: str, queued: Callable[..., str], settings: Settings
) -> None:
    for name in ("other", "tiny", "other"):
        job_id = queued(model=name)
        workshop.run(job_id)
        assert read(redis_url, job_id).results[0].receipt["model"] == name
    engines = Engines(settings)
    assert engines.get() is engines.get("tiny")
    with pytest.raises(ModelNotFound):
        engines.get("absent")


def test_a_damaged_model_fails_the_job_that_asks_for_it_and_no_other(
    workshop: JobRunner, redis_url: str, queued: Callable[..., str]
) -> None:
    failing, good = queued(model="damaged"), queued()
    for job_id in (failing, good):
        workshop.run(job_id)
    record = read(redis_url, failing)
    assert record.error is not None
    assert record.error["type"] == "/problems/bundle"
    assert read(redis_url, good).state is JobState.SUCCEEDED


def test_a_job_that_is_cancelled_on_the_way_stops_and_leaves_nothing(
    workshop: JobRunner,
    redis_url: str,
    settings: Settings,
    queued: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoded = []

    def cancel_then_encode(pixels: np.ndarray, format: Any, *_: Any, **__: Any) -> bytes:
        encoded.append(format)
        delete(redis_url, job_id)  # as the client would, between two results
        return b"picture"

    monkeypatch.setattr(image_job, "encode_image", cancel_then_encode)
    job_id = queued(gains_db=tuple(range(-10, 0)))
    workshop.run(job_id)
    assert len(encoded) == 1
    assert read(redis_url, job_id).state is JobState.CANCELLED
    assert [path for path in settings.data_dir.rglob("*") if path.is_file()] == []


def test_a_job_whose_files_went_with_its_cancellation_is_no_fault(
    workshop: JobRunner,
    decoder_pool: DecoderPool,
    storage: Storage,
    redis_url: str,
    queued: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def erase_then_decode(*_: Any) -> None:
        delete(redis_url, job_id)
        storage.erase(job_id)
        raise FileNotFoundError

    monkeypatch.setattr(decoder_pool, "read_image", erase_then_decode)
    job_id = queued()
    workshop.run(job_id)
    assert read(redis_url, job_id).state is JobState.CANCELLED
    assert "fault" not in caplog.text


def test_a_fault_of_ours_ends_the_job_and_tells_no_secrets(
    workshop: JobRunner,
    decoder_pool: DecoderPool,
    redis_url: str,
    queued: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(decoder_pool, "read_image", fail)
    job_id = queued()
    workshop.run(job_id)
    record = read(redis_url, job_id)
    assert record.error is not None
    assert (record.state, record.error["status"]) == (JobState.FAILED, 500)
    assert "secret" not in str(record.error)
    assert "a secret" in caplog.text


@pytest.mark.parametrize("kind", [MemoryError, SoftTimeLimitExceeded])
def test_a_job_that_takes_too_much_fails_with_what_to_do(
    workshop: JobRunner,
    decoder_pool: DecoderPool,
    redis_url: str,
    queued: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    kind: type[Exception],
) -> None:
    def fail(*_: Any) -> None:
        raise kind

    monkeypatch.setattr(decoder_pool, "read_image", fail)
    job_id = queued()
    workshop.run(job_id)
    record = read(redis_url, job_id)
    assert record.error is not None
    assert record.error["status"] == 413


def test_a_second_message_for_a_finished_or_held_job_does_nothing(
    workshop: JobRunner, client: Client, redis_url: str, queued: Callable[..., str]
) -> None:
    finished, held = queued(), queued()
    workshop.run(finished)
    claimed(client, held)
    before = [read(redis_url, job_id) for job_id in (finished, held)]
    for job_id in (finished, held):
        workshop.run(job_id)
    assert [read(redis_url, job_id) for job_id in (finished, held)] == before
