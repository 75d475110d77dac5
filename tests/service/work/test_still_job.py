"""A worker makes a video of an image that follows a sound's loudness."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from service.jobs.record import StoredInput
from service.jobs.submission_repository import NewJob
from service.schemas.requests import VideoRequest
from service.storage.folder import Storage
from service.work.job_runner import JobRunner
from tests.service.jobs.harness import submit
from tests.service.work.video_harness import failure, succeeded
from tests.support.media import make_noise, make_photo, write_jpeg, write_wav

Queue = Callable[..., str]
SECONDS = 6.0


@pytest.fixture
def queued_still(redis_url: str, storage: Storage) -> Queue:
    """Queue a job with an image and a sound; returns its id."""

    def queue(image: Path, audio: Path, **parameters: Any) -> str:
        request = VideoRequest(**parameters)
        files = [("image", image, "a" * 64), ("audio", audio, "b" * 64)]
        stored = tuple(StoredInput(field=field, sha256=name, bytes=1) for field, _, name in files)
        job = NewJob("c" * 32, request.model_dump(mode="json"), stored, "f", total=1, kind="video")
        folder = storage.begin(job.id)
        for _, path, name in files:
            (folder / name).write_bytes(path.read_bytes())
        submit(redis_url, job)
        return job.id

    return queue


def test_an_image_follows_the_loudness_of_a_sound(
    workshop: JobRunner, storage: Storage, redis_url: str, queued_still: Queue, tmp_path: Path
) -> None:
    noise = make_noise(SECONDS) * np.float32(0.3)
    sound = write_wav(tmp_path / "a.wav", noise)
    photo = write_jpeg(tmp_path / "a.jpg", make_photo(96, 64))
    job_id = queued_still(photo, sound, automation=[[0, -40], [SECONDS, 10]], smoothing_seconds=0)
    workshop.run(job_id)
    record, result, receipt = succeeded(redis_url, storage, job_id)
    assert (record.done, record.total, record.unit) == (90, 90, "frames")
    assert record.results[0].media_type == "video/mp4"
    assert receipt["soundtrack"]["copied"] is False
    assert receipt["steadiness"]["effect_follows_loudness"] > 0.9
    with av.open(str(result)) as video:
        frames = [frame.to_ndarray(format="rgb24").astype(float) for frame in video.decode(video=0)]
        assert video.streams.audio[0].codec_context.name == "aac"
        assert float(video.duration) / av.time_base == pytest.approx(SECONDS, abs=0.1)
    changes = [np.abs(frame - frames[0]).mean() for frame in frames]
    assert len(frames) == 90
    assert changes[-1] > changes[45] > changes[5]
    assert not list(storage.work_dir(job_id).iterdir())


def test_a_bad_image_fails_the_job_with_its_name(
    workshop: JobRunner, redis_url: str, queued_still: Queue, tmp_path: Path
) -> None:
    sound = write_wav(tmp_path / "a.wav", make_noise(1.0))
    job_id = queued_still(sound, sound)
    workshop.run(job_id)
    problem = failure(redis_url, job_id)
    assert problem["status"] in (415, 422)
    assert problem["field"] == "image"
