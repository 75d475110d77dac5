"""A worker process carries a queued video to its result: both tracks, both reports, and what an earlier try left."""

import itertools
import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from service.jobs.connection import Client, connect
from service.jobs.intake import NewJob
from service.jobs.owner import Owner, this_process
from service.jobs.record import JobRecord, JobState, Kind, StoredInput
from service.jobs.shares import Shares
from service.jobs.storage import Storage
from service.media.frames import read_look
from service.media.limits import MediaLimits
from service.media.video_file import read_timeline
from service.settings import Settings
from service.work import video_job
from service.work.engines import Engines
from service.work.requests import PreviewRequest, VideoRequest
from service.work.workshop import Workshop
from tests.service.jobs.desk import delete, read, submit
from tests.service.media.test_video_refused import truncated
from tests.support.media import make_noise, write_wav
from tests.support.tiny_bundle import write_tiny_bundle
from tests.support.video import Clip, noise_track, write_video

LIMITS = MediaLimits()
_ids = itertools.count()

Queue = Callable[..., str]


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
def workshop(client: Client, storage: Storage, settings: Settings) -> Workshop:
    return Workshop(client, storage, Engines(settings), settings, worker="w")


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


def succeeded(redis_url: str, storage: Storage, job_id: str) -> tuple[JobRecord, Path, dict[str, Any]]:
    """The record, the result's file and its receipt."""
    record = read(redis_url, job_id)
    assert record.state is JobState.SUCCEEDED, record.error
    (result,) = record.results
    return record, storage.result_path(job_id, result.sha256), result.receipt


def failure(redis_url: str, job_id: str) -> dict[str, Any]:
    record = read(redis_url, job_id)
    assert record.state is JobState.FAILED
    assert record.error is not None
    return record.error


@pytest.mark.parametrize(("layout", "channels"), [("stereo", 2), ("5.1", 6)])
def test_a_720p_file_of_five_seconds_goes_through(
    layout: str, channels: int, workshop: Workshop, storage: Storage, redis_url: str, queued: Queue, tmp_path: Path
) -> None:
    clip = Clip(width=1280, height=720, fps=30, frames=150, layout=layout, bt709=True, key_every=60)
    source = write_video(tmp_path / "a.mp4", clip, noise_track(5.0, channels=channels))
    job_id = queued(source, gain_db=12.0)
    workshop.run(job_id)
    record, result, receipt = succeeded(redis_url, storage, job_id)
    assert (record.done, record.total, record.unit) == (150, 150, "frames")
    assert read_timeline(result, LIMITS).pts == read_timeline(source, LIMITS).pts
    given, made = read_look(source, LIMITS), read_look(result, LIMITS)
    assert given == made
    with av.open(str(source)) as before, av.open(str(result)) as after:
        assert after.streams.video[0].codec_context.name == "h264"
        for name in ("sample_rate", "codec_tag"):
            tracks = [getattr(one.streams.audio[0].codec_context, name) for one in (before, after)]
            assert tracks[0] == tracks[1]
        assert after.streams.audio[0].layout.name == before.streams.audio[0].layout.name
        assert after.streams.audio[0].duration == pytest.approx(before.streams.audio[0].duration, abs=64)
        assert after.duration == pytest.approx(before.duration, abs=50_000)
    assert receipt["video"]["drift_seconds"] <= 1 / 30
    assert receipt["soundtrack"]["gain_applied_db"] == pytest.approx(12.0, abs=0.5)
    assert receipt["soundtrack"]["true_peak_dbtp"] <= -0.9
    assert receipt["steadiness"]["warping_error_ratio"] < 1.2
    assert receipt["parameters"]["gain_db"] == 12.0
    assert set(record.seconds) == {"model", "look", "sound", "stylize", "join"}


def test_a_boost_over_full_scale_is_limited_and_the_receipt_says_by_how_much(
    workshop: Workshop, storage: Storage, redis_url: str, queued: Queue, tmp_path: Path
) -> None:
    job_id = queued(write_video(tmp_path / "a.mp4", Clip(), noise_track(2.0, rms=0.2)), gain_db=20.0)
    workshop.run(job_id)
    _, _, receipt = succeeded(redis_url, storage, job_id)
    track = receipt["soundtrack"]
    assert track["true_peak_dbtp"] <= -0.9
    assert track["limited_db"] > 3
    assert track["gain_applied_db"] == pytest.approx(20.0 - track["limited_db"], abs=0.1)


def test_no_edit_copies_the_soundtrack(
    workshop: Workshop, storage: Storage, redis_url: str, queued: Queue, tmp_path: Path
) -> None:
    source = write_video(tmp_path / "a.mp4", Clip(), noise_track(2.0))
    job_id = queued(source)
    workshop.run(job_id)
    _, result, receipt = succeeded(redis_url, storage, job_id)
    assert receipt["soundtrack"]["copied"]

    def packets(path: Path) -> list[bytes]:
        with av.open(str(path)) as container:
            return [bytes(packet) for packet in container.demux(container.streams.audio[0]) if packet.size]

    assert packets(source) == packets(result)


def test_a_curve_over_time_is_followed_by_sound_and_pictures(
    workshop: Workshop, storage: Storage, redis_url: str, queued: Queue, tmp_path: Path
) -> None:
    source = write_video(tmp_path / "a.mp4", Clip(frames=80, brightness=0.5), noise_track(8.0))
    job_id = queued(source, automation=((1.0, -30.0), (7.0, 6.0)), smoothing_seconds=0.0)
    workshop.run(job_id)
    _, result, receipt = succeeded(redis_url, storage, job_id)
    assert receipt["steadiness"]["effect_follows_loudness"] > 0.8
    with av.open(str(result)) as container:
        sound = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    levels = [20 * np.log10(np.sqrt(np.mean(part**2))) for part in np.array_split(sound, 8)]
    assert levels == sorted(levels)
    assert levels[-1] - levels[0] > 30


def test_a_silent_video_needs_a_second_sound_and_then_has_it(
    workshop: Workshop, storage: Storage, redis_url: str, queued: Queue, tmp_path: Path
) -> None:
    silent = write_video(tmp_path / "a.mp4", Clip(frames=30))
    refused, mixed = queued(silent), queued(silent, write_wav(tmp_path / "s.wav", make_noise(1.0)), audio_gain_db=-3.0)
    workshop.run(refused)
    workshop.run(mixed)
    error = failure(redis_url, refused)
    assert (error["status"], error["field"]) == (422, "video")
    assert "no soundtrack" in error["detail"]
    _, result, receipt = succeeded(redis_url, storage, mixed)
    assert receipt["soundtrack"]["gain_applied_db"] is None
    with av.open(str(result)) as container:
        samples = sum(frame.samples for frame in container.decode(audio=0))
    assert samples / 48_000 == pytest.approx(3.0, abs=0.05)  # the sound of one second, three times


def test_webm_gives_webm(workshop: Workshop, storage: Storage, redis_url: str, queued: Queue, tmp_path: Path) -> None:
    clip = Clip(video_codec="libvpx-vp9", audio_codec="libopus")
    job_id = queued(write_video(tmp_path / "a.webm", clip, noise_track(2.0)), gain_db=6.0)
    workshop.run(job_id)
    record, result, _ = succeeded(redis_url, storage, job_id)
    assert record.results[0].media_type == "video/webm"
    with av.open(str(result)) as container:
        assert container.streams.video[0].codec_context.name == "vp9"
        assert container.streams.audio[0].codec_context.name == "opus"


def test_max_side_reduces_the_frames(
    workshop: Workshop, storage: Storage, redis_url: str, queued: Queue, tmp_path: Path
) -> None:
    job_id = queued(write_video(tmp_path / "a.mp4", Clip(), noise_track(2.0)), max_side=64)
    workshop.run(job_id)
    record, result, _ = succeeded(redis_url, storage, job_id)
    assert (record.results[0].width, record.results[0].height) == (64, 48)
    assert read_look(result, LIMITS).width == 64


def test_a_damaged_video_fails_with_the_second_or_is_taken_as_far_as_it_goes(
    workshop: Workshop, storage: Storage, redis_url: str, queued: Queue, tmp_path: Path
) -> None:
    cut = truncated(tmp_path, "mp4", 0.5)
    sound = write_wav(tmp_path / "s.wav", make_noise(1.0))
    refused, taken = queued(cut, sound), queued(cut, sound, allow_partial=True)
    workshop.run(refused)
    workshop.run(taken)
    assert "breaks off at" in failure(redis_url, refused)["detail"]
    record, _, receipt = succeeded(redis_url, storage, taken)
    assert receipt["video"]["broken_at_seconds"] == pytest.approx(receipt["video"]["seconds"], abs=0.2)
    assert record.done == record.total == receipt["video"]["frames"]


def test_sounds_longer_and_shorter_than_the_pictures_are_kept(
    workshop: Workshop, storage: Storage, redis_url: str, queued: Queue, tmp_path: Path
) -> None:
    for seconds in (0.8, 4.0):
        job_id = queued(write_video(tmp_path / f"{seconds}.mp4", Clip(), noise_track(seconds)), gain_db=3.0)
        workshop.run(job_id)
        _, result, receipt = succeeded(redis_url, storage, job_id)
        assert receipt["video"]["drift_seconds"] < 0.1
        with av.open(str(result)) as container:
            track = container.streams.audio[0]
            assert float(track.duration * track.time_base) == pytest.approx(seconds, abs=0.03)


def test_negative_times_are_no_trouble(
    workshop: Workshop, storage: Storage, redis_url: str, queued: Queue, tmp_path: Path
) -> None:
    clip = Clip(frames=30, ticks=[100 * n - 500 for n in range(30)], time_base=Fraction(1, 1000), b_frames=False)
    source = write_video(tmp_path / "a.mkv", clip, noise_track(3.0))
    job_id = queued(source, gain_db=3.0)
    workshop.run(job_id)
    _, result, _ = succeeded(redis_url, storage, job_id)
    given, made = read_timeline(source, LIMITS), read_timeline(result, LIMITS)
    assert np.diff(made.pts).tolist() == np.diff(given.pts).tolist()


def test_finished_parts_are_not_made_again(
    workshop: Workshop,
    storage: Storage,
    redis_url: str,
    queued: Queue,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.work.video._PART_SECONDS", 1.0)
    job_id = queued(write_video(tmp_path / "a.mp4", Clip(frames=50), noise_track(5.0)), gain_db=3.0)
    rendered: list[int] = []
    render = video_job.render

    def dying(engine: Any, plan: Any, part: Any, progress: Any) -> Any:
        if len(rendered) == 3:
            raise ConnectionError("a fault")
        rendered.append(part.first)
        return render(engine, plan, part, progress)

    monkeypatch.setattr(video_job, "render", dying)
    with monkeypatch.context() as patch:
        patch.setattr("service.work.workshop.RedisError", ConnectionError)  # the job then stays as it is
        with pytest.raises(ConnectionError):
            workshop.run(job_id)
    rendered.append(-1)
    workshop.run(job_id)
    assert rendered == [0, 10, 20, -1, 30, 40]
    record, result, receipt = succeeded(redis_url, storage, job_id)
    assert receipt["video"]["frames"] == len(read_timeline(result, LIMITS).pts) == 50
    assert record.done == 50
    assert not (storage.result_path(job_id, "x").parent.parent / "work").exists()


def test_a_video_that_is_cancelled_stops_and_leaves_nothing(
    workshop: Workshop,
    storage: Storage,
    redis_url: str,
    queued: Queue,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job_id = queued(write_video(tmp_path / "a.mp4", Clip(frames=50), noise_track(5.0)))
    render = video_job.render

    def cancelled(engine: Any, plan: Any, part: Any, progress: Any) -> Any:
        delete(redis_url, job_id)
        return render(engine, plan, part, progress)

    monkeypatch.setattr(video_job, "render", cancelled)
    workshop.run(job_id)
    assert read(redis_url, job_id).state is JobState.CANCELLED
    assert not storage.result_path(job_id, "x").parent.parent.exists()


# the preview


def picture(storage: Storage, record: JobRecord, index: int) -> np.ndarray:
    with Image.open(storage.result_path(record.id, record.results[index].sha256)) as opened:
        return np.asarray(opened)


def test_a_preview_shows_one_frame_at_five_gains_and_on_one_sheet(
    workshop: Workshop, storage: Storage, redis_url: str, queued: Queue, tmp_path: Path
) -> None:
    source = write_video(tmp_path / "a.mp4", Clip(frames=60, brightness=0.5, rotation=-90), noise_track(6.0, rms=0.01))
    job_id = queued(source, kind="preview", automation=((0.0, 0.0), (6.0, 12.0)), at_seconds=3.05)
    workshop.run(job_id)
    record = read(redis_url, job_id)
    assert record.state is JobState.SUCCEEDED, record.error
    assert [round(result.gain_db) for result in record.results] == [6, -6, 0, 6, 12, 18]
    frames = [picture(storage, record, index) for index in range(1, 6)]
    assert {frame.shape for frame in frames} == {(128, 96, 3)}  # upright
    assert (np.diff([frame[..., 2].mean() for frame in frames]) > 0.5).all()  # louder is bluer
    sheet = picture(storage, record, 0)
    assert sheet.shape[1] > 3 * 96
    receipt = record.results[0].receipt
    assert receipt["at_seconds"] == 3.0
    assert receipt["estimate"]["frames"] == 60
    assert receipt["estimate"]["seconds_on_one_worker"] > 0


def test_a_preview_near_the_ends_and_at_the_limits_is_made(
    workshop: Workshop, redis_url: str, queued: Queue, tmp_path: Path
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


# several workers on one video


def test_a_helper_makes_parts_and_the_result_is_the_same_to_the_byte(
    workshop: Workshop,
    client: Client,
    storage: Storage,
    settings: Settings,
    redis_url: str,
    queued: Queue,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.work.video._PART_SECONDS", 1.0)
    source = write_video(tmp_path / "a.mp4", Clip(frames=60), noise_track(6.0))
    alone = queued(source, gain_db=6.0)
    workshop.run(alone)
    rendered: dict[str, list[int]] = {}
    render = video_job.render

    def counted(engine: Any, plan: Any, part: Any, progress: Any) -> Any:
        rendered.setdefault(threading.current_thread().name, []).append(part.first)
        return render(engine, plan, part, progress)

    monkeypatch.setattr(video_job, "render", counted)
    helpers: list[threading.Thread] = []

    def call(job_id: str, count: int) -> None:
        assert count == 5
        other = Workshop(connect(redis_url), storage, Engines(settings), settings, worker="other")
        helpers.append(threading.Thread(target=other.help, args=[job_id], name="helper"))
        helpers[0].start()

    together = queued(source, gain_db=6.0)
    Workshop(client, storage, Engines(settings), settings, "w", call).run(together)
    helpers[0].join()
    made = [first for parts in rendered.values() for first in parts]
    assert sorted(made) == [0, 10, 20, 30, 40, 50]  # none twice
    assert len(rendered) == 2
    results = [succeeded(redis_url, storage, job_id)[1].read_bytes() for job_id in (alone, together)]
    assert results[0] == results[1]
    assert not list(client.scan_iter("adis:part:*"))
    assert not list(client.scan_iter("adis:frames:*"))


def test_a_helper_leaves_jobs_alone_that_need_none(
    workshop: Workshop, redis_url: str, queued: Queue, tmp_path: Path
) -> None:
    job_id = queued(write_video(tmp_path / "a.mp4", Clip(), noise_track(2.0)))
    workshop.help("0" * 32)  # unknown
    workshop.help(job_id)  # not begun
    assert read(redis_url, job_id).state is JobState.QUEUED
    workshop.run(job_id)
    workshop.help(job_id)  # ended
    assert read(redis_url, job_id).state is JobState.SUCCEEDED


def test_a_part_is_one_workers_at_a_time_and_a_dead_ones_is_free(client: Client) -> None:
    here, there = this_process("a"), Owner("another-machine", 1, "1", "b")
    dead = Owner(here.scope, here.pid, "1", "c")  # the same number, born at another time
    mine, others, ghosts = (Shares(client, "j", one, 30) for one in (here, there, dead))
    assert mine.take(0)
    assert not others.take(0)
    with mine.held(0):
        assert not others.take(0)
    assert others.take(0)
    assert not mine.take(0)
    assert ghosts.take(7)
    assert mine.take(7)


def test_progress_counts_the_frames_of_all_parts(client: Client) -> None:
    shares = Shares(client, "j", this_process("a"), 30)
    shares.note(0, 10)
    shares.note(100, 3)
    shares.note(100, 5)
    assert shares.frames() == 15
    shares.forget()
    assert shares.frames() == 0
