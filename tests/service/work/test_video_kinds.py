"""A worker takes videos of every kind, makes their manifest once, and warns of what the result could not keep."""

from pathlib import Path
from typing import Any

import av
import pytest

from service.media import decoder_pool as decoder_pool_module
from service.media.limits import MediaLimits
from service.media.video_manifest import keep_manifest, read_kept_manifest, read_manifest
from service.storage.folder import Storage
from service.work import segment_maker
from service.work.job_runner import JobRunner
from tests.service.media.test_video_color import flat, write_hdr, write_interlaced
from tests.service.media.test_video_tracks import rich_video
from tests.service.work.conftest import Queue
from tests.service.work.video_harness import die_in, failure, succeeded
from tests.support.media import make_noise, write_wav
from tests.support.video import Clip, noise_track, write_video
from tests.support.video_edits import write_empty_track

LIMITS = MediaLimits()


def codes(record: Any) -> list[str]:
    return [warning["code"] for warning in record.results[0].warnings]


def test_a_manifest_is_made_once_and_kept_with_the_job(
    workshop: JobRunner,
    storage: Storage,
    redis_url: str,
    queued: Queue,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job_id = queued(write_video(tmp_path / "a.mp4", Clip(frames=20), noise_track(2.0)), gain_db=3.0)
    surveys: list[Path] = []
    read_manifest, render = decoder_pool_module.DecoderPool.read_manifest, segment_maker.render

    def counted(pool: Any, path: Path, *arguments: Any, **options: Any) -> Any:
        surveys.append(path)
        return read_manifest(pool, path, *arguments, **options)

    def dying(*_: Any) -> Any:
        raise ConnectionError("a fault")

    monkeypatch.setattr(decoder_pool_module.DecoderPool, "read_manifest", counted)
    monkeypatch.setattr(segment_maker, "render", dying)
    die_in(workshop, job_id, monkeypatch)
    assert (storage.work_dir(job_id) / "manifest.json").exists()
    monkeypatch.setattr(segment_maker, "render", render)
    workshop.run(job_id)
    succeeded(redis_url, storage, job_id)
    assert len(surveys) == 1


def test_a_kept_manifest_is_the_same(tmp_path: Path) -> None:
    manifest = read_manifest(write_video(tmp_path / "a.mp4", Clip(rotation=90), noise_track(2.0)), LIMITS)
    keep_manifest(tmp_path / "manifest.json", manifest)
    assert read_kept_manifest(tmp_path / "manifest.json") == manifest


def test_a_track_without_packets_counts_as_silence(
    workshop: JobRunner, storage: Storage, redis_url: str, queued: Queue, tmp_path: Path
) -> None:
    empty = write_empty_track(tmp_path / "a.mkv")
    refused, mixed = queued(empty), queued(empty, write_wav(tmp_path / "s.wav", make_noise(1.0)))
    workshop.run(refused)
    workshop.run(mixed)
    error = failure(redis_url, refused)
    assert (error["status"], error["field"]) == (422, "video")
    _, result, _ = succeeded(redis_url, storage, mixed)
    with av.open(str(result)) as container:
        assert sum(frame.samples for frame in container.decode(audio=0)) / 48_000 == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize(("gain_db", "copied"), [(0.0, True), (6.0, False)])
def test_every_track_arrives_and_only_the_first_is_edited(
    gain_db: float, copied: bool, workshop: JobRunner, storage: Storage, redis_url: str, queued: Queue, tmp_path: Path
) -> None:
    source = rich_video(tmp_path / "a.mp4")
    job_id = queued(source, gain_db=gain_db)
    workshop.run(job_id)
    record, result, receipt = succeeded(redis_url, storage, job_id)
    assert (receipt["soundtrack"]["copied"], receipt["soundtrack"]["further_tracks"]) == (copied, 1)
    assert receipt["video"]["drift_seconds"] < 0.001
    assert codes(record) == []

    def packets(path: Path, track: int) -> list[bytes]:
        with av.open(str(path)) as container:
            return [bytes(packet) for packet in container.demux(container.streams.audio[track]) if packet.size]

    assert packets(result, 1) == packets(source, 1)
    assert (packets(result, 0) == packets(source, 0)) is copied
    with av.open(str(result)) as container:
        assert (container.metadata["title"], container.streams.subtitles[0].language) == ("My clip", "deu")
        assert len(container.chapters()) == 2


def test_what_cannot_be_kept_is_a_warning(
    workshop: JobRunner, storage: Storage, redis_url: str, queued: Queue, tmp_path: Path
) -> None:
    sound = write_wav(tmp_path / "s.wav", make_noise(1.0))
    hdr = queued(write_hdr(tmp_path / "a.mp4", "hlg", flat(0.5, 0.5, 0.5)), sound)
    interlaced = queued(write_interlaced(tmp_path / "b.mp4"), sound)
    deep = queued(write_video(tmp_path / "c.mp4", Clip(frames=4, pix_fmt="yuv420p10le")), sound)
    fast = queued(write_video(tmp_path / "d.mp4", Clip(width=32, height=32, frames=24, fps=240)), sound)
    clip = Clip(width=64, height=48, frames=4, video_codec="prores_ks", pix_fmt="yuva444p10le")
    alpha = queued(write_video(tmp_path / "e.mov", clip), sound)
    found = []
    for job_id in (hdr, interlaced, deep, fast, alpha):
        workshop.run(job_id)
        record, _, receipt = succeeded(redis_url, storage, job_id)
        found.append(codes(record))
    assert found == [
        ["hdr-tone-mapped"], ["deinterlaced"], ["bit-depth-reduced"], ["slow-motion-not-kept"],
        ["bit-depth-reduced", "flattened"],
    ]  # fmt: skip
    assert receipt["video"]["tone_mapped_from"] is None
