"""Hostile and broken videos are refused with what is wrong, before work starts where the header is honest."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from service.errors import MediaError, StylizationError, TooLarge, UnsupportedMedia
from service.media.decoder_pool import DecoderPool
from service.media.frames import read_frames
from service.media.limits import MediaLimits
from service.media.soundtrack_reader import SoundtrackReader
from service.media.video_file import probe_video
from service.media.video_manifest import read_manifest
from tests.service.media.test_video import remade
from tests.support.media import make_noise, make_photo, write_image, write_m4a
from tests.support.video import Clip, noise_track, write_video

LIMITS = MediaLimits()


def look_at(path: Path, limits: MediaLimits = LIMITS) -> None:
    """All that a worker does before the first frame is restyled, and every frame."""
    probe_video(path, limits)
    manifest = read_manifest(path, limits)
    size = (manifest.format.width, manifest.format.height)
    for _ in read_frames(path, limits, manifest, 0, len(manifest.timeline.pts), size):
        pass


def refused(path: Path, error: type[StylizationError], words: str, limits: MediaLimits = LIMITS) -> StylizationError:
    with pytest.raises(error, match=words) as caught:
        look_at(path, limits)
    assert caught.value.field == "video"
    assert str(path.parent) not in caught.value.detail
    return caught.value


def script(text: str) -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("pattern", script("frame-%03d.png")),
        ("text", script("hello, this is no video at all\n" * 20)),
    ],
)
def test_what_is_no_video_is_refused(name: str, write: Callable[[Path], Path], tmp_path: Path) -> None:
    refused(write(tmp_path / name), UnsupportedMedia, "no video that is known here")


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "a play list"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n", "a play list"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"\xff\xd8\xff\xe0", "JPEG"),
        (b"GIF89a", "GIF"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", "WAV"),
        (b"ID3\x03", "MP3"),
        (b"OggS\x00\x02", "Ogg"),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "Windows Media"),
        (b"\x06\x0e\x2b\x34\x02\x05", "MXF"),
    ],
)
def test_what_is_not_taken_is_named(content: bytes, name: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(content + bytes(200))
    refused(tmp_path / "x", UnsupportedMedia, f"the file is {name}")


def test_a_file_without_images_is_refused(tmp_path: Path) -> None:
    refused(write_m4a(tmp_path / "x", make_noise(1.0)), UnsupportedMedia, "no images")


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    refused(tmp_path / "x", MediaError, "0 bytes")


def test_a_codec_that_is_not_taken_is_refused(tmp_path: Path) -> None:
    refused(write_video(tmp_path / "x.avi", Clip(video_codec="wmv2", fps=25)), UnsupportedMedia, "codec .Windows Media")


@pytest.mark.parametrize("plugin", ["HEIF", "AVIF"])
def test_an_image_in_boxes_is_no_video_of_one_frame(plugin: str, tmp_path: Path) -> None:
    path = write_image(tmp_path / "x", make_photo(64, 64), plugin)
    refused(path, UnsupportedMedia, f"the file is {'HEIC' if plugin == 'HEIF' else 'AVIF'}, which is not taken")


@pytest.mark.parametrize("config", [b"\x00\x90", b"\x08\x00", b"\x88\x90"])
def test_a_soundtrack_whose_decoder_does_not_open_is_damaged(config: bytes, tmp_path: Path) -> None:
    """libav says so with NotImplementedError, PermissionError and others, all of which are its own."""
    path = write_video(tmp_path / "a.mp4", Clip(frames=4), noise_track(0.5))
    content = path.read_bytes()
    at = content.index(b"\x05\x80\x80\x80") + 5  # AAC's AudioSpecificConfig
    path.write_bytes(content[:at] + config + content[at + 2 :])
    with pytest.raises(MediaError, match="nothing of it can be decoded"), SoundtrackReader(path, LIMITS):
        pass


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (replace(LIMITS, max_video_bytes=1000), "bytes; at most 1000"),
        (replace(LIMITS, max_video_pixels=1000), "128 x 96 pixels; at most 1000"),
        (replace(LIMITS, max_video_seconds=1.0), "longer than 1 s"),
        (replace(LIMITS, max_video_frames=10), "more than 10 frames"),
        (replace(LIMITS, max_video_fps=5.0), "10 frames a second; at most 5"),
    ],
)
def test_every_cap_is_kept_by_the_probe_alone(limits: MediaLimits, words: str, tmp_path: Path) -> None:
    path = write_video(tmp_path / "x.mp4", Clip())
    with pytest.raises(TooLarge, match=words):
        probe_video(path, limits)


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (replace(LIMITS, max_video_seconds=1.0), "longer than 1 s"),
        (replace(LIMITS, max_video_frames=10), "more than 10 frames"),
        (replace(LIMITS, max_video_fps=5.0), "frames a second; at most 5"),
    ],
)
def test_what_the_header_hides_is_counted(limits: MediaLimits, words: str, tmp_path: Path) -> None:
    path = write_video(tmp_path / "x.mp4", Clip())
    with pytest.raises(TooLarge, match=words):
        read_manifest(path, limits)


def test_ten_thousand_frames_a_second_are_refused(tmp_path: Path) -> None:
    clip = Clip(fps=10_000, frames=30, time_base=Fraction(1, 10_000), ticks=range(30))
    refused(write_video(tmp_path / "x.mp4", clip), TooLarge, "10000 frames a second")


def test_frames_too_large_are_refused_before_one_is_decoded(tmp_path: Path) -> None:
    path = write_video(tmp_path / "x.mp4", Clip(width=1024, height=768, frames=2), image=make_photo(64, 64))
    with pytest.raises(TooLarge, match="1024 x 768"):
        probe_video(path, replace(LIMITS, max_video_pixels=512 * 512))


def truncated(tmp_path: Path, suffix: str, share: float, **clip: object) -> Path:
    """A file whose index is at its front, cut short."""
    whole = write_video(tmp_path / f"whole.{suffix}", Clip(frames=60, b_frames=False, **clip))  # type: ignore[arg-type]
    path = tmp_path / f"plan_segments.{suffix}"
    if suffix == "mp4":
        remade(whole, whole.with_name("front.mp4"), cuts=(0,))
        whole = whole.with_name("front.mp4")
    path.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * share)])
    return path


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_file_cut_short_is_refused_with_the_second_at_which_it_breaks(suffix: str, tmp_path: Path) -> None:
    path = truncated(tmp_path, suffix, 0.5)
    error = refused(path, MediaError, r"breaks off at \d\.\d+ s")
    second = float(error.detail.split(" at ")[1].split()[0])
    assert 1.0 < second < 5.0


def test_a_file_cut_short_can_be_taken_as_far_as_it_goes(tmp_path: Path) -> None:
    path = truncated(tmp_path, "mp4", 0.5)
    manifest = read_manifest(path, LIMITS, allow_partial=True)
    timeline = manifest.timeline
    assert timeline.broken_at == pytest.approx(timeline.end_seconds)
    assert 10 < len(timeline.pts) < 50
    frames = list(read_frames(path, LIMITS, manifest, 0, len(timeline.pts), (128, 96)))
    assert len(frames) == len(timeline.pts)


def test_an_mp4_whose_index_is_missing_is_damaged(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "a.mp4", Clip())
    (tmp_path / "x").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    refused(tmp_path / "x", MediaError, "damaged")


def test_noise_in_the_middle_ends_in_an_error_and_not_in_a_crash(tmp_path: Path) -> None:
    content = bytearray(write_video(tmp_path / "a.mp4", Clip(frames=40), noise_track(4.0)).read_bytes())
    rng = np.random.default_rng(0)
    for seed in range(6):
        hurt = bytearray(content)
        for place in rng.integers(200, len(content), 200 * (seed + 1)):
            hurt[place] = rng.integers(256)
        path = tmp_path / f"hurt{seed}"
        path.write_bytes(hurt)
        with suppress(MediaError, UnsupportedMedia, TooLarge):
            look_at(path)
            with SoundtrackReader(path, LIMITS) as reader:
                for _ in reader.blocks():
                    pass


def test_a_video_that_changes_its_size_on_the_way_is_refused(tmp_path: Path) -> None:
    small = write_video(tmp_path / "a.mkv", Clip(frames=10, video_codec="libvpx", width=128))
    manifest = read_manifest(small, LIMITS)
    other = replace(manifest, format=replace(manifest.format, width=64))
    with pytest.raises(MediaError, match=r"changes its size at 0\.00 s"):
        list(read_frames(small, LIMITS, other, 0, 10, (64, 96)))


def test_an_encrypted_or_odd_soundtrack_is_the_videos_fault(tmp_path: Path) -> None:
    clip = Clip(audio_codec="ra_144", sample_rate_hz=8000, layout="mono")  # RealAudio 1.0
    path = write_video(tmp_path / "x.mkv", clip, noise_track(2.0)[:1, :16_000])
    with pytest.raises(UnsupportedMedia, match="soundtrack") as caught, SoundtrackReader(path, LIMITS):
        pass
    assert caught.value.field == "video"


def test_the_decoder_pool_probes_videos(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", Clip(), noise_track(2.0))
    (tmp_path / "x").write_text("ffconcat version 1.0\nfile a.mp4\n")
    with DecoderPool(LIMITS) as decoder_pool:
        info = decoder_pool.probe_video(path)
        assert (info.container, info.codec, info.frames, info.has_sound) == ("mp4", "h264", 20, True)
        with pytest.raises(UnsupportedMedia):
            decoder_pool.probe_video(tmp_path / "x")
