"""Flash and beep stay together to the millisecond, and no frame is lost, whatever the video came in."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from service.media.limits import MediaLimits
from service.media.video_file import probe_video
from tests.service.media.test_video import remade
from tests.support.sync import flash_and_beep, observe
from tests.support.video import Clip
from tests.support.video_edits import repeat_timestamps, set_edits, set_matroska_duration, trim_without_encoding

LIMITS = MediaLimits()
SMALL = Clip(width=64, height=48, fps=25, frames=50, key_every=20, layout="mono", time_base=Fraction(1, 12800))
SMALL = replace(SMALL, ticks=[512 * number for number in range(50)])
MILLISECONDS = replace(SMALL, ticks=[40 * number for number in range(50)], time_base=Fraction(1, 1000))
PLAIN = replace(SMALL, ticks=None, time_base=None)
OPEN_GOP = {"x264-params": "open-gop=1:bframes=2:scenecut=0:keyint=10"}

Make = Callable[[Path], Path]


def written(name: str, clip: Clip) -> Make:
    return lambda folder: flash_and_beep(folder / name, clip)


def trimmed(suffix: str, start: float, seconds: float, clip: Clip = SMALL, target: str = "mp4") -> Make:
    def make(folder: Path) -> Path:
        whole = flash_and_beep(folder / f"whole.{suffix}", clip)
        return trim_without_encoding(whole, folder / f"trimmed.{target}", start, seconds)

    return make


def edited(video: list[tuple[float, float]], audio: list[tuple[float, float]]) -> Make:
    def make(folder: Path) -> Path:
        path = flash_and_beep(folder / "a.mp4", replace(SMALL, b_frames=False))
        set_edits(path, b"soun", audio)
        return set_edits(path, b"vide", video)

    return make


def joined(folder: Path) -> Path:
    """Two recordings, one behind the other, as camcorders split them and people put them together."""
    one = KINDS["MPEG-TS, H.264, AAC"](folder)
    (folder / "joined.ts").write_bytes(one.read_bytes() * 2)
    return folder / "joined.ts"


def repeated(folder: Path) -> Path:
    whole = flash_and_beep(folder / "whole.webm", replace(MILLISECONDS, video_codec="libvpx", audio_codec="libopus"))
    return repeat_timestamps(whole, folder / "a.webm", frames=(3, 20, 21, 40))


KINDS: dict[str, Make] = {
    "MP4, H.264, AAC": written("a.mp4", SMALL),
    "MP4, H.264 with open GOPs": written("a.mp4", replace(SMALL, video_options=OPEN_GOP)),
    "MP4, MPEG-4, MP3": written("a.mp4", replace(SMALL, video_codec="mpeg4", audio_codec="libmp3lame")),
    "MOV, HEVC 10 bits, 44.1 kHz": written(
        "a.mov", replace(SMALL, video_codec="libx265", pix_fmt="yuv420p10le", sample_rate_hz=44_100)
    ),
    "MOV, ProRes, PCM": written(
        "a.mov", replace(SMALL, video_codec="prores_ks", pix_fmt="yuv422p10le", audio_codec="pcm_s16le")
    ),
    "MKV, H.264, FLAC": written("a.mkv", replace(MILLISECONDS, audio_codec="flac")),
    "MKV, FFV1, AC-3": written("a.mkv", replace(MILLISECONDS, video_codec="ffv1", audio_codec="ac3")),
    "WebM, VP9, Opus": written("a.webm", replace(MILLISECONDS, video_codec="libvpx-vp9", audio_codec="libopus")),
    "WebM, VP8, Opus, equal timestamps": repeated,
    "MPEG-TS, H.264, AAC": written(
        "a.ts", replace(PLAIN, time_base=Fraction(1, 90_000), ticks=[3600 * n for n in range(50)])
    ),
    "MPEG-TS, MPEG-2, MP2": written("a.ts", replace(PLAIN, video_codec="mpeg2video", audio_codec="mp2")),
    "MPEG-PS, MPEG-1, MP2": written("a.mpeg", replace(PLAIN, video_codec="mpeg1video", audio_codec="mp2")),
    "AVI, Motion JPEG, PCM": written(
        "a.avi", replace(PLAIN, video_codec="mjpeg", pix_fmt="yuvj420p", full_range=True, audio_codec="pcm_s16le")
    ),
    "AVI, MPEG-4, MP3": written("a.avi", replace(PLAIN, video_codec="mpeg4", audio_codec="libmp3lame")),
    "FLV, H.264, AAC": written("a.flv", MILLISECONDS),
    "MP4, variable rate": written(
        "a.mp4", replace(SMALL, ticks=[512 * number + 100 * (number % 3) for number in range(50)])
    ),
    "MP4, trimmed inside a GOP": trimmed("mp4", 0.25, 1.5),
    "MP4, trimmed inside an open GOP": trimmed("mp4", 0.3, 1.3, replace(SMALL, video_options=OPEN_GOP)),
    "MP4, HEVC, trimmed": trimmed("mp4", 0.3, 1.5, replace(SMALL, video_codec="libx265")),
    "MKV, trimmed": trimmed("mkv", 0.25, 1.5, replace(MILLISECONDS, b_frames=False), "mkv"),
    "MP4, two edits": edited([(0.2, 0.6), (1.0, 0.8)], [(0.2, 0.6), (1.0, 0.8)]),
    "MP4, an edit at each end": edited([(0.3, 1.3)], [(0.3, 1.3)]),
}


@pytest.mark.parametrize("name", KINDS)
def test_flash_and_beep_stay_together_and_every_frame_is_there(name: str, tmp_path: Path) -> None:
    source, target = KINDS[name](tmp_path), tmp_path / "result"
    given = observe(source)
    count = len(given.frames)
    done, made = remade(source, target, cuts=(0, count // 3, count // 2)), observe(target)
    assert len(given.flashes) == 2
    assert len(made.frames) == count
    assert made.leads == pytest.approx(given.leads, abs=0.001)
    assert done.drift == pytest.approx(0, abs=0.001)


def test_hidden_frames_stay_hidden(tmp_path: Path) -> None:
    source = KINDS["MP4, trimmed inside a GOP"](tmp_path)
    assert len(observe(source).frames) < 40  # of 50, and of 43 packets
    assert observe(source).flashes == pytest.approx((0.15, 0.95), abs=0.04)


def test_recordings_that_were_joined_stay_together_to_the_end(tmp_path: Path) -> None:
    remade(joined(tmp_path), tmp_path / "result", cuts=(0, 33, 66))
    made = observe(tmp_path / "result")
    assert (len(made.frames), len(made.flashes)) == (100, 4)
    assert made.leads == pytest.approx([0.0] * 4, abs=0.001)
    assert sorted(made.frames) == list(made.frames)


def test_frames_with_one_timestamp_are_set_apart_by_a_tick(tmp_path: Path) -> None:
    source, target = repeated(tmp_path), tmp_path / "result"
    remade(source, target, cuts=(0,))
    given, made = observe(source).frames, observe(target).frames
    assert len(set(given)) == 46
    assert len(set(made)) == 50
    assert sorted(made) == list(made)
    assert made == pytest.approx(given, abs=0.0021)


def test_a_duration_that_the_header_makes_up_is_not_believed(tmp_path: Path) -> None:
    clip = replace(MILLISECONDS, video_codec="libvpx", audio_codec="libopus")
    source = set_matroska_duration(flash_and_beep(tmp_path / "a.webm", clip), 36_000)
    info = probe_video(source, LIMITS)
    assert info.frames == 50
    assert info.seconds == pytest.approx(2.0, abs=0.05)
    remade(source, tmp_path / "result", cuts=(0,))
    assert len(observe(tmp_path / "result").frames) == 50
