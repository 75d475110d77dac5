"""Frames of a high dynamic range are tone-mapped, interlaced ones deinterlaced, and the result says what it is."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from service.media.frames import read_frames
from service.media.limits import MediaLimits
from service.media.tone_mapping import ToneMapper, eetf_nits, tone_map
from service.media.video_format import Hdr
from service.media.video_manifest import VideoManifest, read_manifest
from tests.service.media.test_video import remade
from tests.support.video import Clip, write_video

LIMITS = MediaLimits()
TRANSFERS: dict[Hdr, int] = {"pq": 16, "hlg": 18}
SIZE = (64, 48)


def write_hdr(path: Path, transfer: Hdr, colors: NDArray[np.uint16]) -> Path:
    """Three frames of 10 bits in BT.2020, [48, 64, 3] of 16-bit R'G'B' each."""
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream("libx264", rate=10, options={"crf": "4", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p10le"
        context = stream.codec_context
        context.colorspace, context.color_primaries, context.color_trc = 9, 9, TRANSFERS[transfer]
        context.color_range = 1
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(colors, format="rgb48le").reformat(
                format="yuv420p10le", dst_colorspace=9, src_color_range=2, dst_color_range=1
            )
            frame.pts, frame.time_base = number, Fraction(1, 10)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def flat(*signal: float) -> NDArray[np.uint16]:
    return np.full((48, 64, 3), np.rint(np.array(signal) * 65535), np.uint16)


def shown(path: Path, manifest: VideoManifest) -> NDArray[np.float64]:
    """Mean color of the first frame, 0..255."""
    (_, pixels), *_ = read_frames(path, LIMITS, manifest, 0, 1, SIZE)
    return np.asarray(pixels.mean(axis=(0, 1)))


# BT.2408: reference white is 75 % of HLG and 58 % of PQ, a grey card (18 %) 38 % of both and 41 % of standard range
@pytest.mark.parametrize(
    ("transfer", "signal", "level"),
    [("hlg", 0.38, 108), ("hlg", 0.75, 230), ("pq", 0.38, 108), ("pq", 0.58, 230), ("pq", 0.0, 0), ("hlg", 1.0, 255)],
)
def test_grey_is_as_bright_as_the_recommendations_say(
    transfer: Hdr, signal: float, level: float, tmp_path: Path
) -> None:
    path = write_hdr(tmp_path / "a.mp4", transfer, flat(signal, signal, signal))
    manifest = read_manifest(path, LIMITS)
    assert (manifest.format.hdr, manifest.format.bits) == (transfer, 10)
    assert shown(path, manifest) == pytest.approx(level, abs=4)


def test_a_result_of_high_dynamic_range_is_tagged_and_looks_as_what_it_is(tmp_path: Path) -> None:
    path = write_hdr(tmp_path / "a.mov", "hlg", flat(0.6, 0.5, 0.4))
    before = shown(path, remade(path, tmp_path / "b.mp4", cuts=(0,)).manifest)
    made = read_manifest(tmp_path / "b.mp4", LIMITS)
    assert (made.format.matrix, made.format.primaries, made.format.transfer) == (1, 1, 1)
    assert (made.format.bits, made.format.hdr, made.format.full_range) == (8, None, False)
    assert shown(tmp_path / "b.mp4", made) == pytest.approx(before, abs=3)
    assert before[0] > before[1] + 15 > before[2] + 30  # it is still orange


def test_ten_bits_of_standard_range_are_not_mapped(tmp_path: Path) -> None:
    clip = Clip(video_codec="libx265", pix_fmt="yuv420p10le", frames=3, bt709=True)
    assert read_manifest(write_video(tmp_path / "a.mp4", clip), LIMITS).format.hdr is None


@pytest.mark.parametrize("transfer", TRANSFERS)
def test_the_table_gives_the_curve(transfer: Hdr) -> None:
    rng = np.random.default_rng(0)
    light = rng.uniform(0.05, 0.95, (64, 64, 1)) * rng.uniform(0.85, 1.0, (64, 64, 3))
    codes = np.rint(light * 65535).astype(np.uint16)
    mapped = ToneMapper(64, 64, transfer).map(av.VideoFrame.from_ndarray(codes, format="rgb48le"))
    difference = np.abs(mapped.to_ndarray().astype(float) - tone_map(codes, transfer)) / 257
    assert np.percentile(difference, 99) < 3
    assert difference.mean() < 0.5


def test_the_curve_leaves_the_dark_alone_and_reaches_white_at_the_peak() -> None:
    assert eetf_nits(np.array([1.0, 50.0])) == pytest.approx([1.0, 50.0], rel=1e-6)
    assert eetf_nits(np.array([1000.0])) == pytest.approx([203.0], rel=1e-6)
    steps = eetf_nits(np.linspace(0.1, 1000, 500))
    assert (np.diff(steps) > 0).all()


def write_interlaced(path: Path, top_first: bool = True) -> Path:
    """A bar that moves 4 pixels from field to field: its edge is a comb in every frame."""
    codec = {"mp4": "libx264", "ts": "mpeg2video"}[path.suffix[1:]]
    options = {
        "libx264": {"x264-params": f"{'tff' if top_first else 'bff'}=1:crf=5"},
        "mpeg2video": {"flags": "+ildct+ilme"},
    }
    with av.open(str(path), "w", format="mpegts" if path.suffix == ".ts" else "mp4") as output:
        stream: Any = output.add_stream(codec, rate=25, options=options[codec])
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for number, pixels in enumerate(woven(10, top_first)):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def woven(count: int, top_first: bool) -> Iterator[NDArray[np.uint8]]:
    for number in range(count):
        pixels = np.full((96, 128, 3), 30, np.uint8)
        for field in (0, 1):
            left = 20 + 4 * (2 * number + (field if top_first else 1 - field))
            pixels[field::2, left : left + 30] = 220
        yield pixels


def combing(pixels: NDArray[np.uint8]) -> float:
    """How much each line differs from the mean of its neighbors."""
    lines = pixels[..., 1].astype(float)
    return float(np.abs(lines[1:-1] - (lines[:-2] + lines[2:]) / 2).mean())


@pytest.mark.parametrize("top_first", [True, False])
def test_interlaced_frames_lose_their_combs_and_none_is_lost(top_first: bool, tmp_path: Path) -> None:
    path = write_interlaced(tmp_path / "a.mp4", top_first)
    manifest = read_manifest(path, LIMITS)
    assert manifest.format.interlaced
    frames = dict(read_frames(path, LIMITS, manifest, 0, 10, (128, 96)))
    woven_frames = replace(manifest, format=replace(manifest.format, interlaced=False))
    combs = dict(read_frames(path, LIMITS, woven_frames, 0, 10, (128, 96)))
    assert list(frames) == list(range(10))
    assert max(combing(frames[index]) for index in range(1, 9)) < 0.3 * min(
        combing(combs[index]) for index in range(10)
    )
    some = dict(read_frames(path, LIMITS, manifest, 4, 7, (128, 96)))
    assert all(np.array_equal(some[index], frames[index]) for index in (4, 5, 6))


def test_the_result_of_an_interlaced_video_is_progressive(tmp_path: Path) -> None:
    path = write_interlaced(tmp_path / "a.mp4")
    remade(path, tmp_path / "b.mp4", cuts=(0, 5))
    made = read_manifest(tmp_path / "b.mp4", LIMITS)
    assert len(made.timeline.pts) == 10
    assert not made.format.interlaced


def test_progressive_frames_are_left_alone(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", Clip(frames=4))
    manifest = read_manifest(path, LIMITS)
    assert not manifest.format.interlaced
    flagged = replace(manifest, format=replace(manifest.format, interlaced=True))
    for (_, one), (_, other) in zip(
        read_frames(path, LIMITS, manifest, 0, 4, (128, 96)),
        read_frames(path, LIMITS, flagged, 0, 4, (128, 96)),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("codec", "pix_fmt"), [("ffv1", "bgr0"), ("rawvideo", "bgr24")])
def test_frames_stored_as_rgb_keep_their_colors(codec: str, pix_fmt: str, tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.avi"), "w") as output:
        stream: Any = output.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = *SIZE, pix_fmt
        for number in range(3):
            pixels = np.full((48, 64, 3), (200, 100, 50), np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = number, Fraction(1, 10)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    before = shown(tmp_path / "a.avi", remade(tmp_path / "a.avi", tmp_path / "b.mp4", cuts=(0,)).manifest)
    made = read_manifest(tmp_path / "b.mp4", LIMITS)
    assert before == pytest.approx([200, 100, 50], abs=1)
    assert shown(tmp_path / "b.mp4", made) == pytest.approx(before, abs=3)
    assert made.format.matrix != 0


def test_alpha_is_noticed(tmp_path: Path) -> None:
    clip = Clip(width=64, height=48, frames=2, video_codec="prores_ks", pix_fmt="yuva444p10le")
    assert read_manifest(write_video(tmp_path / "a.mov", clip), LIMITS).format.transparent
    options = {"auto-alt-ref": "0"}
    beside = replace(clip, video_codec="libvpx", pix_fmt="yuva420p", video_options=options)
    assert read_manifest(write_video(tmp_path / "a.webm", beside), LIMITS).format.transparent
    plain = write_video(tmp_path / "b.mov", replace(clip, pix_fmt="yuv422p10le"))
    assert not read_manifest(plain, LIMITS).format.transparent
