"""What sounds become: one mono waveform at the wanted rate, at the level as recorded."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from service.media.audio import AudioInfo, decode_audio, probe_audio
from service.media.limits import MediaLimits
from tests.support import media
from tests.support.hostile import mp3_with_cover, png_bomb
from tests.support.media import make_noise, make_tone, write_float_wav, write_mp3, write_wav

LIMITS = MediaLimits()
RATE_HZ = 16_000

Writer = Callable[..., Path]
LOSSLESS: list[Writer] = [write_wav, write_float_wav, media.write_flac]
LOSSY: list[Writer] = [write_mp3, media.write_ogg, media.write_m4a, media.write_webm]


@pytest.mark.parametrize("write", LOSSLESS)
def test_lossless_formats_decode_to_their_samples(tmp_path: Path, write: Writer) -> None:
    noise = make_noise(2)
    decoded = decode_audio(write(tmp_path / "x", noise), LIMITS, RATE_HZ)
    assert decoded.dtype == np.float32
    np.testing.assert_allclose(decoded, noise, atol=1e-4)


@pytest.mark.parametrize("write", LOSSY)
def test_lossy_formats_keep_length_and_level(tmp_path: Path, write: Writer) -> None:
    tone = make_tone(2, sample_rate_hz=48_000)
    decoded = decode_audio(write(tmp_path / "x", tone, sample_rate_hz=48_000), LIMITS, RATE_HZ)
    assert abs(len(decoded) / RATE_HZ - 2) < 0.1
    assert 20 * np.log10(decoded.std() / tone.std()) == pytest.approx(0, abs=0.5)


@pytest.mark.parametrize("write", LOSSLESS + LOSSY)
def test_a_probe_tells_duration_rate_and_channels(tmp_path: Path, write: Writer) -> None:
    info = probe_audio(write(tmp_path / "x", make_noise(2, sample_rate_hz=48_000), sample_rate_hz=48_000), LIMITS)
    assert info.duration_seconds == pytest.approx(2, abs=0.1)
    assert (info.sample_rate_hz, info.channels) == (48_000, 1)


def test_a_probe_names_the_codec(tmp_path: Path) -> None:
    assert probe_audio(write_wav(tmp_path / "x", make_noise(1)), LIMITS) == AudioInfo(1.0, RATE_HZ, 1, "pcm_s16le")


@pytest.mark.parametrize("rate_hz", [4_000, 8_000, 11_025, 22_050, 44_100, 48_000, 96_000, 384_000])
def test_every_rate_is_resampled_without_a_change_of_pitch_or_level(tmp_path: Path, rate_hz: int) -> None:
    tone = make_tone(2, hertz=440, sample_rate_hz=rate_hz)
    decoded = decode_audio(write_wav(tmp_path / "x", tone, rate_hz), LIMITS, RATE_HZ)
    assert len(decoded) == pytest.approx(2 * RATE_HZ, abs=RATE_HZ // 100)
    spectrum = np.abs(np.fft.rfft(decoded))
    assert np.argmax(spectrum) / 2 == pytest.approx(440, abs=2)
    assert decoded[RATE_HZ // 2 : -RATE_HZ // 2].std() == pytest.approx(tone.std(), rel=0.01)


def test_resampling_leaves_no_seam_where_blocks_meet(tmp_path: Path) -> None:
    tone = make_tone(5, hertz=100, sample_rate_hz=44_100)
    decoded = decode_audio(write_wav(tmp_path / "x", tone, 44_100), LIMITS, RATE_HZ)
    expected = make_tone(5, hertz=100)
    inner = slice(RATE_HZ // 10, -RATE_HZ // 10)
    np.testing.assert_allclose(decoded[inner], expected[: len(decoded)][inner], atol=2e-3)


@pytest.mark.parametrize("write", [write_wav, write_float_wav])
@pytest.mark.parametrize("amplitude", [1e-3, 0.1, 1.0])
def test_the_level_is_kept(tmp_path: Path, write: Writer, amplitude: float) -> None:
    decoded = decode_audio(write(tmp_path / "x", make_tone(1, amplitude=amplitude)), LIMITS, RATE_HZ)
    assert np.abs(decoded).max() == pytest.approx(amplitude, rel=0.05)


@pytest.mark.parametrize("channels", [2, 6, 32])
def test_a_channel_that_is_alone_keeps_its_level(tmp_path: Path, channels: int) -> None:
    samples = np.zeros((RATE_HZ, channels), np.float32)
    samples[:, 0] = 0.5
    decoded = decode_audio(write_wav(tmp_path / "x", samples), LIMITS, RATE_HZ)
    np.testing.assert_allclose(decoded, 0.5, atol=1e-3)


def test_opposite_channels_do_not_cancel(tmp_path: Path) -> None:
    tone = make_tone(1)
    decoded = decode_audio(write_wav(tmp_path / "x", np.stack([tone, -tone], axis=1)), LIMITS, RATE_HZ)
    np.testing.assert_allclose(decoded, tone, atol=1e-3)


@pytest.mark.parametrize(("codec", "tolerance"), [("pcm_u8", 0.01), ("pcm_s24le", 1e-4), ("pcm_s32le", 1e-4)])
def test_other_sample_widths_have_the_same_full_scale(tmp_path: Path, codec: str, tolerance: float) -> None:
    tone = make_tone(1, amplitude=0.5)
    with av.open(str(tmp_path / "x"), "w", format="wav") as container:
        stream = container.add_stream(codec, rate=RATE_HZ, layout="mono")
        assert isinstance(stream, av.AudioStream)
        frame = av.AudioFrame.from_ndarray((tone * 32_767).astype(np.int16)[None], format="s16", layout="mono")
        frame.sample_rate = RATE_HZ
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    np.testing.assert_allclose(decode_audio(tmp_path / "x", LIMITS, RATE_HZ), tone, atol=tolerance)


@pytest.mark.parametrize("cover", [png_bomb(), b"\xff\xd8\xff\xe0" + make_noise(20).tobytes()], ids=["bomb", "large"])
def test_an_album_cover_is_never_decoded(tmp_path: Path, cover: bytes) -> None:
    mp3 = write_mp3(tmp_path / "plain", make_noise(1)).read_bytes()
    (tmp_path / "x").write_bytes(mp3_with_cover(mp3, cover))
    assert len(decode_audio(tmp_path / "x", LIMITS, RATE_HZ)) == pytest.approx(RATE_HZ, abs=2000)


def test_a_video_gives_its_sound_track(tmp_path: Path) -> None:
    tone = make_tone(1, sample_rate_hz=48_000)
    with av.open(str(tmp_path / "x"), "w", format="mp4") as container:
        images = container.add_stream("mpeg4", rate=10)
        images.width, images.height, images.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream("aac", rate=48_000, layout="mono")
        assert isinstance(sound, av.AudioStream)
        for seed in range(10):
            image = av.VideoFrame.from_ndarray(media.make_photo(64, 48, seed), format="rgb24")
            container.mux(images.encode(image))
        frame = av.AudioFrame.from_ndarray(tone[None], format="flt", layout="mono")
        frame.sample_rate = 48_000
        container.mux(sound.encode(frame))
        container.mux([*images.encode(None), *sound.encode(None)])
    assert len(decode_audio(tmp_path / "x", LIMITS, RATE_HZ)) == pytest.approx(RATE_HZ, abs=2000)


def test_a_float_wav_a_little_above_full_scale_is_taken(tmp_path: Path) -> None:
    decoded = decode_audio(write_float_wav(tmp_path / "x", make_tone(1, amplitude=1.5)), LIMITS, RATE_HZ)
    assert decoded.max() == pytest.approx(1.5, rel=0.01)


def test_one_bad_packet_in_a_long_sound_is_survived(tmp_path: Path) -> None:
    content = bytearray(write_mp3(tmp_path / "x", make_noise(20)).read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(64)
    (tmp_path / "x").write_bytes(content)
    assert len(decode_audio(tmp_path / "x", LIMITS, RATE_HZ)) == pytest.approx(20 * RATE_HZ, abs=RATE_HZ)
