"""A preview is one frame of a video at five gains."""

from pathlib import Path

import numpy as np
from PIL import Image

from service.jobs.record import JobRecord, JobState
from service.storage.folder import Storage
from service.work.job_runner import JobRunner
from tests.service.jobs.harness import read
from tests.service.work.conftest import Queue
from tests.service.work.video_harness import failure
from tests.support.media import make_noise, write_wav
from tests.support.video import Clip, noise_track, write_video


def image(storage: Storage, record: JobRecord, index: int) -> np.ndarray:
    with Image.open(storage.result_path(record.id, record.results[index].sha256)) as opened:
        return np.asarray(opened)


def test_a_preview_shows_one_frame_at_five_gains_and_on_one_sheet(
    workshop: JobRunner, storage: Storage, redis_url: str, queued: Queue, tmp_path: Path
) -> None:
    source = write_video(tmp_path / "a.mp4", Clip(frames=60, brightness=0.5, rotation=-90), noise_track(6.0, rms=0.01))
    job_id = queued(source, kind="preview", automation=((0.0, 0.0), (6.0, 12.0)), at_seconds=3.05)
    workshop.run(job_id)
    record = read(redis_url, job_id)
    assert record.state is JobState.SUCCEEDED, record.error
    assert [round(result.gain_db) for result in record.results] == [6, -6, 0, 6, 12, 18]
    frames = [image(storage, record, index) for index in range(1, 6)]
    assert {frame.shape for frame in frames} == {(128, 96, 3)}  # upright
    assert (np.diff([frame[..., 2].mean() for frame in frames]) > 0.5).all()  # louder is bluer
    sheet = image(storage, record, 0)
    assert sheet.shape[1] > 3 * 96
    receipt = record.results[0].receipt
    assert receipt["at_seconds"] == 3.0
    assert receipt["estimate"]["frames"] == 60
    assert receipt["estimate"]["seconds_on_one_worker"] > 0


def test_a_preview_near_the_ends_and_at_the_limits_is_made(
    workshop: JobRunner, redis_url: str, queued: Queue, tmp_path: Path
) -> None:
    source = write_video(tmp_path / "a.mp4", Clip(), noise_track(1.0))
    sound = write_wav(tmp_path / "s.wav", make_noise(1.0))
    silent = write_video(tmp_path / "b.mp4", Clip())
    ids = [
        queued(source, kind="preview", at_seconds=0.0, gain_db=24.0),
        queued(source, kind="preview", at_seconds=2.0, gain_db=-60.0),
        queued(silent, sound, kind="preview"),
    ]
    for job_id in ids:
        workshop.run(job_id)
        record = read(redis_url, job_id)
        assert record.state is JobState.SUCCEEDED, record.error
        assert all(-60 <= result.gain_db <= 24 for result in record.results)
    late = queued(source, kind="preview", at_seconds=99.0)
    workshop.run(late)
    assert failure(redis_url, late)["field"] == "at_seconds"
