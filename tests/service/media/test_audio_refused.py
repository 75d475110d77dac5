"""Each hostile or broken sound is refused with an error of its own, and nothing else ever leaves the door."""

import io
import resource
import socket
import wave
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.errors import MediaError, StylizationError, TooLarge, UnsupportedMedia
from service.media.audio import decode_audio, probe_audio
from service.media.limits import MediaLimits
from tests.support import hostile, media
from tests.support.media import make_noise, make_photo, png_bytes, write_float_wav, write_mp3, write_wav

LIMITS = MediaLimits()
RATE_HZ = 16_000

Writer = Callable[..., Path]


def both_refuse(path: Path, error: type[StylizationError], words: str, limits: MediaLimits = LIMITS) -> None:
    """Probing and decoding refuse alike, and name the field."""
    doors: tuple[Callable[[], object], ...] = (
        lambda: probe_audio(path, limits),
        lambda: decode_audio(path, limits, RATE_HZ),
    )
    for door in doors:
        with pytest.raises(error, match=words) as caught:
            door()
        assert caught.value.field == "audio"


def test_an_empty_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    both_refuse(tmp_path / "x", MediaError, "empty")


@pytest.mark.parametrize(
    "content", [b"This is not a sound.\n" * 50, png_bytes(make_photo(32, 32)), b"\0" * 10_000, bytes(range(256)) * 40]
)
def test_what_is_no_sound_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    both_refuse(tmp_path / "x", UnsupportedMedia, "send WAV, MP3")


def test_a_script_that_names_another_file_opens_nothing(tmp_path: Path) -> None:
    secret = write_wav(tmp_path / "secret.wav", make_noise(2))
    (tmp_path / "x").write_text(f"ffconcat version 1.0\nfile {secret}\n")
    both_refuse(tmp_path / "x", UnsupportedMedia, "send WAV, MP3")


@pytest.mark.parametrize("name", ["x", "x.m3u8", "x.mp3"])
def test_a_play_list_reaches_no_network(tmp_path: Path, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/segment.ts"
        play_list = f"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{address}\n#EXT-X-ENDLIST\n"
        (tmp_path / name).write_text(play_list)
        both_refuse(tmp_path / name, UnsupportedMedia, "send WAV, MP3")
        with pytest.raises(TimeoutError):
            server.accept()


def test_a_video_without_sound_is_refused(tmp_path: Path) -> None:
    both_refuse(media.write_silent_video(tmp_path / "x"), UnsupportedMedia, "no sound track")


def test_a_codec_that_is_not_taken_is_refused(tmp_path: Path) -> None:
    both_refuse(hostile.write_video_with_foreign_sound(tmp_path / "x"), UnsupportedMedia, r"codec \(.+\) is not taken")


@pytest.mark.parametrize("write", [write_wav, write_mp3, media.write_flac])
def test_a_tenth_of_a_second_is_too_short(tmp_path: Path, write: Writer) -> None:
    both_refuse(write(tmp_path / "x", make_noise(0.1)), MediaError, r"lasts 0\.\d+ s; at least 0.5 s is needed")


def test_a_header_without_samples_is_too_short(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(hostile.wav(b""))
    both_refuse(tmp_path / "x", MediaError, r"lasts 0 s")


@pytest.mark.parametrize("write", [write_wav, write_mp3, media.write_flac])
def test_longer_than_the_limit_is_too_large(tmp_path: Path, write: Writer) -> None:
    both_refuse(
        write(tmp_path / "x", make_noise(3)), TooLarge, "longer than 2 s; cut it", MediaLimits(max_audio_seconds=2)
    )


def test_hours_of_silence_in_a_small_file_are_refused_without_decoding_them(tmp_path: Path) -> None:
    silence = np.zeros(RATE_HZ * 3600, np.float32)
    path = media.write_flac(tmp_path / "x", silence)
    assert path.stat().st_size < 2_000_000
    del silence
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    both_refuse(path, TooLarge, "longer than 600 s", MediaLimits(max_audio_seconds=600))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


def test_too_many_bytes_are_refused_unread(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "x", make_noise(1))
    both_refuse(path, TooLarge, "at most 1000", MediaLimits(max_audio_bytes=1000))


def test_a_sound_that_takes_too_long_to_open_is_given_up(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "x", make_noise(5))
    with pytest.raises(TooLarge, match="takes too long"):
        probe_audio(path, MediaLimits(max_decode_seconds=0.0))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
def test_samples_that_are_not_numbers_are_refused(tmp_path: Path, bad: float, rate_hz: int) -> None:
    noise = make_noise(2)
    noise[12_345] = bad
    both_refuse(write_float_wav(tmp_path / "x", noise, rate_hz), MediaError, "NaN or infinite")


def test_float_samples_on_the_scale_of_integers_are_refused(tmp_path: Path) -> None:
    both_refuse(write_float_wav(tmp_path / "x", make_noise(2) * 32_768), MediaError, "times full scale")


@pytest.mark.parametrize("rate_hz", [1, 100, 3_999, 400_000, 2**31 - 1])
def test_an_absurd_sample_rate_is_refused(tmp_path: Path, rate_hz: int) -> None:
    (tmp_path / "x").write_bytes(hostile.wav(bytes(64_000), rate_hz))
    both_refuse(tmp_path / "x", MediaError, "samples a second")


def test_a_sample_rate_beyond_31_bits_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(hostile.wav(bytes(64_000), 2**32 - 1))
    both_refuse(tmp_path / "x", MediaError, "damaged|samples a second")


@pytest.mark.parametrize("channels", [0, 33, 600, 65_535])
def test_an_absurd_number_of_channels_is_refused(tmp_path: Path, channels: int) -> None:
    (tmp_path / "x").write_bytes(hostile.wav(bytes(300_000), channels=channels))
    both_refuse(tmp_path / "x", MediaError, "channels|damaged")


def test_channels_that_change_on_the_way_are_refused(tmp_path: Path) -> None:
    mono = write_mp3(tmp_path / "mono", make_noise(1)).read_bytes()
    with av.open(str(tmp_path / "stereo"), "w", format="mp3") as container:
        stream = container.add_stream("libmp3lame", rate=RATE_HZ, layout="stereo")
        assert isinstance(stream, av.AudioStream)
        frame = av.AudioFrame.from_ndarray(np.repeat(make_noise(1), 2)[None], format="flt", layout="stereo")
        frame.sample_rate = RATE_HZ
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    (tmp_path / "x").write_bytes(mono + (tmp_path / "stereo").read_bytes())
    with pytest.raises(MediaError, match="changes its rate or channels"):
        decode_audio(tmp_path / "x", LIMITS, RATE_HZ)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_truncated_m4a_is_damaged(tmp_path: Path, share: float) -> None:
    whole = media.write_m4a(tmp_path / "whole", make_noise(4)).read_bytes()
    (tmp_path / "x").write_bytes(whole[: int(len(whole) * share)])
    both_refuse(tmp_path / "x", MediaError, "damaged")


@pytest.mark.parametrize(
    "write", [write_wav, write_mp3, media.write_flac, media.write_ogg, media.write_m4a, media.write_webm]
)
def test_a_bare_header_is_damaged(tmp_path: Path, write: Writer) -> None:
    whole = write(tmp_path / "whole", make_noise(1, sample_rate_hz=48_000), sample_rate_hz=48_000).read_bytes()
    (tmp_path / "x").write_bytes(whole[:30])
    both_refuse(tmp_path / "x", MediaError, "damaged or incomplete")


def test_a_sound_of_rubbish_packets_is_damaged(tmp_path: Path) -> None:
    content = bytearray(media.write_flac(tmp_path / "whole", make_noise(4)).read_bytes())
    rng = np.random.default_rng(0)
    content[9_000:] = rng.integers(0, 255, len(content) - 9_000, np.uint8).tobytes()
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(MediaError):
        decode_audio(tmp_path / "x", LIMITS, RATE_HZ)


def _encoded(write: Writer, folder: Path) -> bytes:
    path = folder / write.__name__
    if not path.exists():
        write(path, make_noise(0.6, sample_rate_hz=48_000), sample_rate_hz=48_000)
    return path.read_bytes()


WRITERS = [write_wav, write_float_wav, write_mp3, media.write_flac, media.write_ogg, media.write_m4a, media.write_webm]


@pytest.mark.parametrize("write", WRITERS)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_flipped_bytes_give_a_sound_or_our_error(tmp_path: Path, write: Writer, data: st.DataObject) -> None:
    content = bytearray(_encoded(write, tmp_path))
    positions = st.one_of(st.integers(0, min(200, len(content) - 1)), st.integers(0, len(content) - 1))
    for position in data.draw(st.lists(positions, min_size=1, max_size=6)):
        content[position] = data.draw(st.integers(0, 255))
    (tmp_path / "x").write_bytes(bytes(content))
    limits = MediaLimits(max_audio_seconds=20)
    for door in (lambda: probe_audio(tmp_path / "x", limits), lambda: decode_audio(tmp_path / "x", limits, RATE_HZ)):
        try:
            result = door()
        except StylizationError:
            continue
        if isinstance(result, np.ndarray):
            assert np.isfinite(result).all()
            assert len(result) <= 21 * RATE_HZ


def test_wave_files_of_python_are_whole(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
        file.writeframes(bytes(2 * RATE_HZ))
    (tmp_path / "x").write_bytes(buffer.getvalue())
    assert probe_audio(tmp_path / "x", LIMITS).duration_seconds == 1.0
