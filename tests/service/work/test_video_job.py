"""A worker process carries a queued video to its result: both tracks, both reports, and what an earlier try left."""

from collections.abc import Callable
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from service.jobs.record import JobState
from service.media import decoder_pool as decoder_pool_module
from service.media.decoder_pool import DecoderPool
from service.media.limits import MediaLimits
from service.media.video_manifest import read_manifest
from service.redis.connection import Client
from service.settings import Settings
from service.storage.folder import Storage
from service.work import segment_maker
from service.work.engines import Engines
from service.work.job_runner import JobRunner
from tests.service.jobs.harness import delete, read
from tests.service.media.test_video_refused import truncated
from tests.service.work.conftest import Queue
from tests.service.work.video_harness import die_in, failure, succeeded
from tests.support.media import make_noise, write_wav
from tests.support.misbehaviour import bloat, crash, crash_later, sleep
from tests.support.video import Clip, noise_track, write_video

LIMITS = MediaLimits()


@pytest.mark.parametrize(("layout", "channels", "height"), [("stereo", 2, 360), ("5.1", 6, 180)])
def test_a_file_of_five_seconds_goes_through(
    layout: str,
    channels: int,
    height: int,
    workshop: JobRunner,
    storage: Storage,
    redis_url: str,
    queued: Queue,
    tmp_path: Path,
) -> None:
    clip = Clip(width=height * 16 // 9, height=height, fps=30, frames=150, layout=layout, bt709=True, key_every=60)
    source = write_video(tmp_path / "a.mp4", clip, noise_track(5.0, channels=channels))
    job_id = queued(source, gain_db=12.0)
    workshop.run(job_id)
    record, result, receipt = succeeded(redis_url, storage, job_id)
    assert (record.done, record.total, record.unit) == (150, 150, "frames")
    assert read_manifest(result, LIMITS).timeline.pts == read_manifest(source, LIMITS).timeline.pts
    given, made = read_manifest(source, LIMITS).format, read_manifest(result, LIMITS).format
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
    workshop: JobRunner, storage: Storage, redis_url: str, queued: Queue, tmp_path: Path
) -> None:
    job_id = queued(write_video(tmp_path / "a.mp4", Clip(), noise_track(2.0, rms=0.2)), gain_db=20.0)
    workshop.run(job_id)
    _, _, receipt = succeeded(redis_url, storage, job_id)
    track = receipt["soundtrack"]
    assert track["true_peak_dbtp"] <= -0.9
    assert track["limited_db"] > 3
    assert track["gain_applied_db"] == pytest.approx(20.0 - track["limited_db"], abs=0.1)


def test_no_edit_copies_the_soundtrack(
    workshop: JobRunner, storage: Storage, redis_url: str, queued: Queue, tmp_path: Path
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


def test_a_curve_over_time_is_followed_by_sound_and_images(
    workshop: JobRunner, storage: Storage, redis_url: str, queued: Queue, tmp_path: Path
) -> None:
    source = write_video(tmp_path / "a.mp4", Clip(frames=80, brightness=0.5), noise_track(8.0))
    job_id = queued(source, automation=((1.0, -30.0), (7.0, 6.0)), smoothing_seconds=0.0)
    workshop.run(job_id)
    _, result, receipt = succeeded(redis_url, storage, job_id)
    assert receipt["steadiness"]["effect_follows_loudness"] > 0.8
    with av.open(str(result)) as container:
        sound = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    levels = [20 * np.log10(np.sqrt(np.mean(segment**2))) for segment in np.array_split(sound, 8)]
    assert levels == sorted(levels)
    assert levels[-1] - levels[0] > 30


def test_a_silent_video_needs_a_second_sound_and_then_has_it(
    workshop: JobRunner, storage: Storage, redis_url: str, queued: Queue, tmp_path: Path
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


def test_webm_gives_webm(workshop: JobRunner, storage: Storage, redis_url: str, queued: Queue, tmp_path: Path) -> None:
    clip = Clip(video_codec="libvpx-vp9", audio_codec="libopus")
    job_id = queued(write_video(tmp_path / "a.webm", clip, noise_track(2.0)), gain_db=6.0)
    workshop.run(job_id)
    record, result, _ = succeeded(redis_url, storage, job_id)
    assert record.results[0].media_type == "video/webm"
    with av.open(str(result)) as container:
        assert container.streams.video[0].codec_context.name == "vp9"
        assert container.streams.audio[0].codec_context.name == "opus"


def test_max_side_reduces_the_frames(
    workshop: JobRunner, storage: Storage, redis_url: str, queued: Queue, tmp_path: Path
) -> None:
    job_id = queued(write_video(tmp_path / "a.mp4", Clip(), noise_track(2.0)), max_side=64)
    workshop.run(job_id)
    record, result, _ = succeeded(redis_url, storage, job_id)
    assert (record.results[0].width, record.results[0].height) == (64, 48)
    assert read_manifest(result, LIMITS).format.width == 64


def test_a_damaged_video_fails_with_the_second_or_is_taken_as_far_as_it_goes(
    workshop: JobRunner, storage: Storage, redis_url: str, queued: Queue, tmp_path: Path
) -> None:
    plan_segments = truncated(tmp_path, "mp4", 0.5)
    sound = write_wav(tmp_path / "s.wav", make_noise(1.0))
    refused, taken = queued(plan_segments, sound), queued(plan_segments, sound, allow_partial=True)
    workshop.run(refused)
    workshop.run(taken)
    assert "breaks off at" in failure(redis_url, refused)["detail"]
    record, _, receipt = succeeded(redis_url, storage, taken)
    assert receipt["video"]["broken_at_seconds"] == pytest.approx(receipt["video"]["seconds"], abs=0.2)
    assert record.done == record.total == receipt["video"]["frames"]


def test_sounds_longer_and_shorter_than_the_images_are_kept(
    workshop: JobRunner, storage: Storage, redis_url: str, queued: Queue, tmp_path: Path
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
    workshop: JobRunner, storage: Storage, redis_url: str, queued: Queue, tmp_path: Path
) -> None:
    clip = Clip(frames=30, ticks=[100 * n - 500 for n in range(30)], time_base=Fraction(1, 1000), b_frames=False)
    source = write_video(tmp_path / "a.mkv", clip, noise_track(3.0))
    job_id = queued(source, gain_db=3.0)
    workshop.run(job_id)
    _, result, _ = succeeded(redis_url, storage, job_id)
    given, made = read_manifest(source, LIMITS).timeline, read_manifest(result, LIMITS).timeline
    assert np.diff(made.pts).tolist() == np.diff(given.pts).tolist()


def test_finished_parts_are_not_made_again(
    workshop: JobRunner,
    storage: Storage,
    redis_url: str,
    queued: Queue,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.work.video._PART_SECONDS", 1.0)
    job_id = queued(write_video(tmp_path / "a.mp4", Clip(frames=60), noise_track(6.0)), gain_db=3.0)
    rendered: list[int] = []
    render = segment_maker.render

    def dying(engine: Any, plan: Any, segment: Any, progress: Any) -> Any:
        if len(rendered) == 3:
            raise ConnectionError("a fault")
        rendered.append(segment.first)
        return render(engine, plan, segment, progress)

    monkeypatch.setattr(segment_maker, "render", dying)
    die_in(workshop, job_id, monkeypatch)
    rendered.append(-1)
    workshop.run(job_id)
    assert rendered == [0, 10, 20, -1, 30, 40, 50]
    record, result, receipt = succeeded(redis_url, storage, job_id)
    assert receipt["video"]["frames"] == len(read_manifest(result, LIMITS).timeline.pts) == 60
    assert record.done == 60
    assert not (storage.result_path(job_id, "x").parent.parent / "work").exists()


def test_a_video_that_is_cancelled_stops_and_leaves_nothing(
    workshop: JobRunner,
    storage: Storage,
    redis_url: str,
    queued: Queue,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job_id = queued(write_video(tmp_path / "a.mp4", Clip(frames=50), noise_track(5.0)))
    render = segment_maker.render

    def cancelled(engine: Any, plan: Any, segment: Any, progress: Any) -> Any:
        delete(redis_url, job_id)
        return render(engine, plan, segment, progress)

    monkeypatch.setattr(segment_maker, "render", cancelled)
    workshop.run(job_id)
    assert read(redis_url, job_id).state is JobState.CANCELLED
    assert not storage.result_path(job_id, "x").parent.parent.exists()


@pytest.mark.parametrize(
    ("door", "misbehaving"),
    [
        *product(["survey_video", "read_soundtrack", "read_pixels", "mux"], [crash, bloat]),
        ("read_soundtrack", crash_later),
    ],
)
def test_a_video_that_ends_its_decoder_costs_its_own_job_only(
    door: str,
    misbehaving: Callable[..., Any],
    workshop: JobRunner,
    redis_url: str,
    storage: Storage,
    queued: Queue,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = write_video(tmp_path / "a.mp4", Clip(frames=10), noise_track(1.0))
    bad, good = queued(source, gain_db=3.0), queued(source, gain_db=3.0)
    with monkeypatch.context() as patch:
        patch.setattr(decoder_pool_module, door, misbehaving)
        workshop.run(bad)
    workshop.run(good)
    problem = failure(redis_url, bad)
    assert problem["type"] == ("/problems/too-large" if misbehaving is bloat else "/problems/damaged-media")
    assert problem["field"] == "video"
    succeeded(redis_url, storage, good)
    assert not (storage.result_path(bad, "x").parent.parent / "work").exists()


@pytest.mark.parametrize("door", ["read_soundtrack", "read_pixels"])
def test_a_video_whose_decoder_never_ends_costs_its_own_job_only(
    door: str,
    workshop: JobRunner,
    client: Client,
    storage: Storage,
    settings: Settings,
    redis_url: str,
    queued: Queue,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = write_video(tmp_path / "a.mp4", Clip(frames=10), noise_track(1.0))
    bad, good = queued(source, gain_db=3.0), queued(source, gain_db=3.0)
    with DecoderPool(LIMITS, wall_seconds=3.0) as hasty, monkeypatch.context() as patch:
        patch.setattr(decoder_pool_module, door, sleep)
        JobRunner(client, storage, Engines(settings), hasty, settings, worker="w").run(bad)
    workshop.run(good)
    assert "takes it too long" in failure(redis_url, bad)["detail"]
    succeeded(redis_url, storage, good)
