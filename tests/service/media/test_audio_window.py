"""The window of a sound of any length: the loudest, or where it was asked for, to the sample."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import MediaError
from service.media.audio import WindowReport, decode_audio, read_window
from service.media.limits import MediaLimits
from service.media.window_search import LastWindow, LoudestWindow
from tests.support import media
from tests.support.audio_files import FORMATS, encode
from tests.support.media import make_noise, make_tone, write_wav
from tests.support.windows import low_noise

LIMITS = MediaLimits()
RATE_HZ = 16_000
CLIP = 3 * RATE_HZ


def window(path: Path, start_seconds: float | None = None, limits: MediaLimits = LIMITS) -> tuple[WindowReport, Any]:
    *_, report, waveform = read_window(path, limits, RATE_HZ, CLIP, start_seconds)
    assert isinstance(report, WindowReport)
    return report, waveform


def search(waveform: np.ndarray, clip: int, rate_hz: int, block: int) -> LoudestWindow:
    found = LoudestWindow(clip, rate_hz)
    for begin in range(0, len(waveform), block):
        found.push(waveform[None, begin : begin + block])
    return found


def test_the_loudest_window_is_found(tmp_path: Path) -> None:
    waveform = make_noise(20, rms=0.01)
    waveform[11 * RATE_HZ : 14 * RATE_HZ] *= 20
    report, found = window(write_wav(tmp_path / "x", waveform))
    assert report.start_seconds == pytest.approx(11, abs=0.02)
    assert (report.length_seconds, report.seconds, report.done) == (3, 20, True)
    begin = round(report.start_seconds * RATE_HZ)
    np.testing.assert_allclose(found, waveform[begin : begin + CLIP], atol=1e-4)


@pytest.mark.parametrize("block", [7, 100, 160, 1_000, 16_000, 80_000])
def test_the_blocks_in_which_it_comes_do_not_matter(block: int) -> None:
    waveform = make_noise(5, sample_rate_hz=1_600) * np.repeat(np.random.default_rng(1).uniform(0, 1, 80), 100)
    waveform = waveform.astype(np.float32)
    found = search(waveform, 480, 1_600, block)
    energies = [np.square(waveform[16 * hop : 16 * hop + 480], dtype=float).sum() for hop in range(471)]
    assert found.start == 16 * int(np.argmax(energies))
    assert found.samples is not None
    np.testing.assert_array_equal(found.samples[0], waveform[found.start : found.start + 480])


# no subnormals: PyTorch, used by other tests of this process, may have set the processor to flush them
@settings(deadline=None)
@given(st.integers(480, 5 * 1600), st.integers(1, 3000))
def test_a_window_is_always_full_and_inside(samples: int, block: int) -> None:
    found = search(np.arange(samples, dtype=np.float32), 480, 1600, block)
    assert found.samples is not None
    np.testing.assert_array_equal(np.diff(found.samples[0]), 1)
    assert found.samples[0, 0] == found.start


def test_of_equal_windows_the_first_is_taken() -> None:
    assert search(np.ones(50_000, np.float32), 4_800, 16_000, 777).start == 0


@settings(deadline=None)
@given(st.integers(1, 5000), st.integers(1, 700))
def test_the_last_window_is_the_end(samples: int, block: int) -> None:
    waveform, last = np.arange(samples, dtype=np.float32), LastWindow(480)
    for begin in range(0, samples, block):
        last.push(waveform[None, begin : begin + block])
    assert last.samples is not None
    np.testing.assert_array_equal(last.samples[0], waveform[-480:])
    assert last.start == max(0, samples - 480)


@pytest.mark.parametrize("name", [
    "AIFF", "CAF", "ALAC in M4A", "AU", "Wave64", "FLAC in Ogg", "FLAC in Matroska", "WavPack", "AAC (ADTS)",
    "AAC in 3GP", "AAC in MPEG-TS", "AAC in FLV", "AMR", "WMA 2", "AC-3", "E-AC-3", "MP2", "MP3 of variable rate",
    "MP3 in WAV", "Opus in CAF", "Opus in MP4", "ADPCM in WAV",
])  # fmt: skip
def test_a_start_is_found_to_the_sample_in_every_format(name: str, tmp_path: Path) -> None:
    write, rate_hz = FORMATS[name]
    path = write(tmp_path / "x", low_noise(20, rate_hz))
    whole = decode_audio(path, LIMITS, RATE_HZ)
    for start in (0.5, 13.0, 14.123456):
        report, found = window(path, start)
        begin = round(start * RATE_HZ)
        # noise that AAC and AC-3 draw themselves is another each time; a sample's shift would be off by 0.05 and more
        np.testing.assert_allclose(found, whole[begin : begin + CLIP], atol=5e-3)
        assert report.start_seconds == pytest.approx(start, abs=1 / RATE_HZ)
        assert report.notes == ()


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_a_start_is_found_in_every_layout(channels: int, tmp_path: Path) -> None:
    noise = np.stack([low_noise(16, 44_100, seed=seed) for seed in range(channels)], axis=1)
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[channels]
    path = encode(tmp_path / "x", noise, 44_100, "flac", "flac", layout)
    report, found = window(path, 12.5)
    later = encode(tmp_path / "later", noise[round(12.5 * 44_100) :], 44_100, "flac", "flac", layout)
    _, expected = window(later, 0.0)
    np.testing.assert_allclose(found[200:], expected[200:], atol=5e-3)
    assert report.start_seconds == 12.5


def test_packets_long_before_the_start_are_not_decoded(tmp_path: Path) -> None:
    content = bytearray(media.write_flac(tmp_path / "whole", make_noise(40)).read_bytes())
    content[len(content) // 4 : len(content) // 4 + 40] = bytes(40)  # one frame is broken at 10 s
    (tmp_path / "x").write_bytes(content)
    _, found = window(tmp_path / "x", 30.0)
    np.testing.assert_allclose(found, make_noise(40)[30 * RATE_HZ : 33 * RATE_HZ], atol=1e-4)


@pytest.mark.parametrize("start", [60.0, 500.0, 999_999.0])
def test_a_start_beyond_the_end_is_moved_back_and_said(start: float, tmp_path: Path) -> None:
    noise = make_noise(60)
    report, found = window(write_wav(tmp_path / "x", noise), start)
    assert report.start_seconds == 57
    np.testing.assert_allclose(found, noise[-CLIP:], atol=1e-4)
    (note,) = report.notes
    assert note.code == "start"
    assert "beyond the end of the sound, which lasts 60.000 s; the window starts at 57.000 s" in note.detail


def test_a_start_too_near_the_end_is_moved_back_and_said(tmp_path: Path) -> None:
    report, _ = window(write_wav(tmp_path / "x", make_noise(10)), 9.0)
    assert report.start_seconds == 7
    assert "too near the end" in report.notes[0].detail


def test_the_last_start_is_no_matter_of_words(tmp_path: Path) -> None:
    report, _ = window(write_wav(tmp_path / "x", make_noise(10)), 7.0)
    assert (report.start_seconds, report.notes) == (7, ())


def test_a_short_sound_is_repeated(tmp_path: Path) -> None:
    noise = make_noise(1.25)
    report, found = window(write_wav(tmp_path / "x", noise))
    np.testing.assert_array_equal(found[: len(noise)], found[len(noise) : 2 * len(noise)])
    assert (report.length_seconds, len(found), report.notes) == (1.25, CLIP, ())
    report, _ = window(write_wav(tmp_path / "x", noise), 1.0)
    assert "all of it is used" in report.notes[0].detail


def test_clipping_is_measured_before_the_channels_are_mixed(tmp_path: Path) -> None:
    clipped = np.clip(make_tone(4, amplitude=3.0), -1, 1)
    report, found = window(write_wav(tmp_path / "x", np.stack([clipped, make_noise(4)], axis=1)))
    assert report.clipped_share is not None
    assert report.clipped_share > 0.5
    assert np.mean(np.abs(found) >= 0.999) < report.clipped_share


def test_a_long_search_says_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.media.audio._REPORT_CPU_SECONDS", 0.0)
    *reports, last, _ = read_window(write_wav(tmp_path / "x", make_noise(20)), LIMITS, RATE_HZ, CLIP)
    assert len(reports) > 5
    assert all(isinstance(report, WindowReport) and not report.done for report in reports)
    assert [report.seconds for report in reports] == sorted(report.seconds for report in reports)
    assert isinstance(last, WindowReport)
    assert last.done


def test_a_sound_that_is_too_short_is_refused_wherever_it_is_to_start(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "x", make_noise(0.2))
    for start in (None, 0.0, 100.0):
        with pytest.raises(MediaError, match=r"lasts 0\.2 s"):
            window(path, start)
