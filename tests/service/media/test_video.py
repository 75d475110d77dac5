"""Videos: what goes in comes out with every time, size and colour tag it had; images alone are touched."""

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from service.media.audio_writer import AudioWriter
from service.media.frames import read_frames
from service.media.limits import MediaLimits
from service.media.mux import AudioFile, Segment, mux
from service.media.segment_writer import SegmentWriter
from service.media.soundtrack_reader import SoundtrackReader
from service.media.times import drift_seconds, read_times, times_of
from service.media.track_copy import read_span
from service.media.video_manifest import VideoManifest, read_manifest
from tests.support.video import Clip, noise_track, write_video

LIMITS = MediaLimits()
UNEVEN = tuple(int(tick) for tick in np.cumsum(np.random.default_rng(1).integers(900, 6000, 30)))

CLIPS: dict[str, tuple[str, Clip]] = {
    "plain": ("mp4", Clip()),
    "high definition colours, turned, with wide pixels": (
        "mp4",
        Clip(bt709=True, pixel_aspect=Fraction(4, 3), rotation=-90, frames=30, fps=30, width=160, height=90),
    ),
    "variable rate, full range": (
        "mp4",
        Clip(ticks=UNEVEN, time_base=Fraction(1, 90_000), frames=30, full_range=True),
    ),
    "29.97 a second": ("mov", Clip(fps=30, ticks=[1001 * n for n in range(20)], time_base=Fraction(1, 30_000))),
    "begins late": ("mkv", Clip(ticks=[100 * n + 1000 for n in range(20)], time_base=Fraction(1, 1000))),
    "odd size": ("mp4", Clip(width=131, height=97, pix_fmt="yuv444p")),
    "webm": ("webm", Clip(video_codec="libvpx-vp9", audio_codec="libopus")),
    "one key frame": ("mp4", Clip(key_every=1000)),
}


@dataclass(frozen=True)
class Remade:
    """What the source was like, and by how much its sound has moved."""

    manifest: VideoManifest
    drift: float | None


def remade(source: Path, target: Path, cuts: tuple[int, ...]) -> Remade:
    """Decode and encode again in segments that begin at `cuts`, with the soundtrack."""
    manifest = read_manifest(source, LIMITS)
    format, timeline = manifest.format, manifest.timeline
    size, segments = (format.width, format.height), []
    for first, stop in zip(cuts, [*cuts[1:], len(timeline.pts)], strict=True):
        segment = Segment(target.with_name(f"segment{first}"), first, stop)
        writer = SegmentWriter(segment.path, manifest.container, format.of_result(), timeline, first, size)
        for index, pixels in read_frames(source, LIMITS, manifest, first, stop, size):
            writer.write(index, pixels)
        writer.close()
        segments.append(segment)
    audio, drift = [], None
    if manifest.soundtrack is not None:
        audio.append(AudioFile(target.with_name("sound"), manifest.soundtrack))
        with (
            SoundtrackReader(source, LIMITS, manifest.soundtrack, manifest.clock) as reader,
            AudioWriter(audio[0].path, manifest.container, reader.form) as track,
        ):
            for block in reader.blocks():
                track.write(block)
    mux(target, source, manifest, segments, audio)
    if manifest.soundtrack is not None:
        span = read_span(source, LIMITS, manifest.soundtrack, manifest.clock)
        made = read_times(target, LIMITS).without_priming(track.priming_seconds)
        drift = drift_seconds(times_of(manifest.timeline, span), made)
    return Remade(manifest, drift)


@pytest.mark.parametrize("name", CLIPS)
def test_times_sizes_and_colours_stay_and_the_parts_meet(name: str, tmp_path: Path) -> None:
    suffix, clip = CLIPS[name]
    source = write_video(tmp_path / f"source.{suffix}", clip, noise_track(clip.frames / clip.fps))
    target = tmp_path / "target"
    done = remade(source, target, cuts=(0, 7, 15))
    given = done.manifest
    made, count = read_manifest(target, LIMITS), len(given.timeline.pts)
    assert (made.timeline.time_base, made.timeline.pts) == (given.timeline.time_base, given.timeline.pts)
    assert replace(made.format, fps=given.format.fps) == given.format
    size = (given.format.width, given.format.height)
    before = dict(read_frames(source, LIMITS, given, 0, count, size))
    after = dict(read_frames(target, LIMITS, made, 0, count, size))
    for index, pixels in before.items():
        difference = after[index].astype(int) - pixels
        assert np.abs(difference).mean() < 6
        assert np.abs(difference.mean(axis=(0, 1))).max() < 1.6  # no shift of colour or range
    assert done.drift is not None
    assert done.drift < 0.001


def test_the_soundtrack_keeps_its_length_rate_channels_and_place(tmp_path: Path) -> None:
    sound = noise_track(3.0, channels=6)
    sound[:, 48_000:49_000] = 0.9  # something to find again
    source = write_video(tmp_path / "a.mp4", Clip(frames=30, layout="5.1"), sound)
    remade(source, tmp_path / "b.mp4", cuts=(0,))
    heard = []
    for path in (source, tmp_path / "b.mp4"):
        with SoundtrackReader(path, LIMITS) as reader:
            assert (reader.form.sample_rate_hz, reader.form.channels) == (48_000, 6)
            heard.append(np.concatenate(list(reader.blocks()), axis=1))
    first, second = heard
    assert second.shape[1] == first.shape[1]
    clicks = [int(np.argmax(np.convolve(np.abs(one[0]), np.ones(1000), "same"))) for one in heard]
    assert abs(clicks[1] - clicks[0]) < 20


def test_the_index_of_the_result_is_at_its_front(tmp_path: Path) -> None:
    source = write_video(tmp_path / "a.mp4", Clip(), noise_track(2.0))
    remade(source, tmp_path / "b.mp4", cuts=(0,))
    content = (tmp_path / "b.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


def test_a_frame_can_be_reached_without_those_before(tmp_path: Path) -> None:
    source = write_video(tmp_path / "a.mp4", Clip(frames=40, key_every=10))
    manifest = read_manifest(source, LIMITS)
    assert manifest.timeline.key_frames == (0, 10, 20, 30)
    size = (manifest.format.width, manifest.format.height)
    whole = dict(read_frames(source, LIMITS, manifest, 0, 40, size))
    some = dict(read_frames(source, LIMITS, manifest, 23, 27, size))
    assert list(some) == [23, 24, 25, 26]
    assert all(np.array_equal(some[index], whole[index]) for index in some)


def test_frames_may_be_asked_for_at_another_size(tmp_path: Path) -> None:
    source = write_video(tmp_path / "a.mp4", Clip())
    manifest = read_manifest(source, LIMITS)
    (_, pixels), *_ = read_frames(source, LIMITS, manifest, 0, 1, (64, 48))
    assert pixels.shape == (48, 64, 3)


def test_parts_of_different_encoders_are_not_joined(tmp_path: Path) -> None:
    source = write_video(tmp_path / "a.mp4", Clip())
    other = write_video(tmp_path / "b.mp4", Clip(width=64, height=64, frames=10))
    manifest = read_manifest(source, LIMITS)
    segments = [Segment(source, 0, 10), Segment(other, 10, 20)]
    with pytest.raises(ValueError, match=r"frames|settings"):
        mux(tmp_path / "c.mp4", source, manifest, segments, [])


def test_more_than_eight_bits_are_read(tmp_path: Path) -> None:
    source = write_video(tmp_path / "a.mp4", Clip(video_codec="libx265", pix_fmt="yuv420p10le", frames=6))
    assert read_manifest(source, LIMITS).format.bits == 10
    remade(source, tmp_path / "b.mp4", cuts=(0,))
    assert read_manifest(tmp_path / "b.mp4", LIMITS).format.bits == 8


def test_packets_can_be_copied_untouched(tmp_path: Path) -> None:
    source = write_video(tmp_path / "a.mp4", Clip(), noise_track(2.0))
    manifest = read_manifest(source, LIMITS)
    images = write_video(tmp_path / "p.mp4", Clip(b_frames=False))
    mux(tmp_path / "b.mp4", source, manifest, [Segment(images, 0, 20)], [AudioFile(source, 1)])

    def packets(path: Path) -> list[tuple[Any, bytes]]:
        with av.open(str(path)) as container:
            return [(p.pts, bytes(p)) for p in container.demux(container.streams.audio[0]) if p.size]

    assert packets(source) == packets(tmp_path / "b.mp4")
