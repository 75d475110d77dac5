"""Every format that people have at hand goes in, and what is not taken is named."""

from pathlib import Path

import numpy as np
import pytest
from scipy import signal

from service.errors import MediaError, UnsupportedMedia
from service.media.audio import decode_audio, probe_audio, read_window
from service.media.file_kind import kind_of_head
from service.media.limits import MediaLimits
from tests.support.audio_files import FORMATS, LOSSLESS, encode
from tests.support.hostile import write_video_with_foreign_sound
from tests.support.media import make_noise, make_photo, write_jpeg
from tests.support.windows import low_noise

LIMITS = MediaLimits()
RATE_HZ = 16_000
DELAYED_MS = {  # what the format itself delays, since it says of no encoder's delay
    "AAC (ADTS)": 22, "AAC (LATM)": 22, "AAC in MPEG-TS": 22, "AAC in FLV": 22, "MP2": 11, "MP3 in WAV": 24,
    "AC-3": 6, "E-AC-3": 6, "AMR": 6, "AMR in 3GP": 6, "G.722 in WAV": 2, "WMA 1": 47, "WMA 2": 47, "VOC": 11,
    "Opus in CAF": 7,
}  # fmt: skip


LEVEL_DB = {"AMR": 5, "AMR in 3GP": 5}  # made for speech, it takes the lowest octaves away


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_comes_back_in_time_and_at_its_level(name: str, tmp_path: Path) -> None:
    write, rate_hz = FORMATS[name]
    noise = low_noise(3, rate_hz)
    path = write(tmp_path / "x", noise)
    decoded = decode_audio(path, LIMITS, RATE_HZ)
    expected = signal.resample_poly(noise, RATE_HZ, rate_hz).astype(np.float32)
    assert len(decoded) / RATE_HZ == pytest.approx(3, abs=0.06)
    middle = decoded[RATE_HZ : RATE_HZ + 8_000]
    correlation = np.correlate(expected[RATE_HZ - 1_000 : RATE_HZ + 9_000], middle, "valid")
    delay_ms = -(int(np.argmax(correlation)) - 1_000) * 1000 / RATE_HZ
    assert abs(delay_ms) <= DELAYED_MS.get(name, 0.05)
    assert 20 * np.log10(decoded.std() / expected.std()) == pytest.approx(0, abs=LEVEL_DB.get(name, 1.0))
    if name in LOSSLESS:
        inner = slice(1_000, len(expected) - 2_000)
        np.testing.assert_allclose(decoded[: len(expected)][inner], expected[: len(decoded)][inner], atol=2e-3)


@pytest.mark.parametrize("name", FORMATS)
def test_a_probe_knows_the_form_of_every_format(name: str, tmp_path: Path) -> None:
    write, rate_hz = FORMATS[name]
    info = probe_audio(write(tmp_path / "x", low_noise(2, rate_hz)), LIMITS)
    assert info.channels == 1
    assert info.sample_rate_hz == pytest.approx(rate_hz, rel=0.01)
    assert info.duration_seconds == pytest.approx(2, abs=0.06)


@pytest.mark.parametrize("name", FORMATS)
def test_a_whole_file_is_not_said_to_break_off(name: str, tmp_path: Path) -> None:
    write, rate_hz = FORMATS[name]
    *_, report, _ = read_window(write(tmp_path / "x", low_noise(4, rate_hz)), LIMITS, RATE_HZ, RATE_HZ)
    assert report.notes == ()


@pytest.mark.parametrize(("layout", "codec", "container"), [("7.1", "aac", "mp4"), ("7.1", "flac", "flac")])
def test_eight_channels_go_in(layout: str, codec: str, container: str, tmp_path: Path) -> None:
    noise = np.zeros((48_000, 8), np.float32)
    noise[:, :2] = make_noise(1, sample_rate_hz=48_000)[:, None]
    path = encode(tmp_path / "x", noise, 48_000, container, codec, layout, bit_rate=0 if codec == "flac" else 512_000)
    decoded = decode_audio(path, LIMITS, RATE_HZ)
    expected = signal.resample_poly(noise[:, 0], 1, 3)
    assert 20 * np.log10(decoded.std() / expected.std()) == pytest.approx(0, abs=1.0)


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"MAC \x96\x0f", "Monkey's Audio"), (b"MThd\0\0\0\x06", "MIDI"), (b".RMF\0\0\0\x12", "RealMedia"),
        (b"DSD \x1c\0\0\0", "DSF"), (b"MPCK", "Musepack"), (b"ajkg\x02", "Shorten"),
    ],
)  # fmt: skip
def test_a_format_that_is_not_taken_is_named(head: bytes, name: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(head + bytes(2000))
    with pytest.raises(UnsupportedMedia, match=f"{name} is not taken; send WAV, MP3, FLAC") as caught:
        probe_audio(tmp_path / "x", LIMITS)
    assert caught.value.field == "audio"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"%PDF-1.7\n" * 100, "no sound but PDF"),
        (b"PK\x03\x04" + bytes(500), "no sound but ZIP"),
        (b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n", "no sound but a play list"),
        (b"RIFF\x10\0\0\0sfbk" + bytes(100), "SoundFont is not taken"),
    ],
)
def test_a_file_of_another_kind_is_named(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(UnsupportedMedia, match=words):
        probe_audio(tmp_path / "x", LIMITS)


def test_an_image_is_said_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedMedia, match=r"is an image \(JPEG\), not a sound"):
        probe_audio(write_jpeg(tmp_path / "x", make_photo(32, 32)), LIMITS)


def test_a_codec_that_is_not_taken_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedMedia, match=r"codec \(.+\) is not taken"):
        probe_audio(write_video_with_foreign_sound(tmp_path / "x"), LIMITS)


@pytest.mark.parametrize("name", FORMATS)
def test_the_bytes_alone_tell_that_it_is_a_sound(name: str, tmp_path: Path) -> None:
    write, rate_hz = FORMATS[name]
    kind = kind_of_head(write(tmp_path / "x", low_noise(1, rate_hz)).read_bytes()[:400])
    assert kind is not None
    assert "sound" in kind.kind or kind.kind == "video"


@pytest.mark.parametrize("name", ["AIFF", "CAF", "AAC (ADTS)", "WMA 2", "AMR", "AC-3", "AU", "Wave64", "FLAC in Ogg"])
def test_a_file_of_rubbish_behind_a_header_is_damaged(name: str, tmp_path: Path) -> None:
    write, rate_hz = FORMATS[name]
    content = write(tmp_path / "whole", low_noise(1, rate_hz)).read_bytes()
    (tmp_path / "x").write_bytes(content[:14])
    with pytest.raises(MediaError, match=r"damaged or incomplete|lasts 0"):
        list(read_window(tmp_path / "x", LIMITS, RATE_HZ, RATE_HZ))
