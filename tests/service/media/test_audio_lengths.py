"""Headers that state another length than the file has: what is there is used, and what is missing is said."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from service.errors import MediaError, UnsupportedMedia
from service.media.audio import WindowReport, decode_audio, probe_audio, read_window
from service.media.libav import Nameless
from service.media.limits import MediaLimits
from tests.support import media
from tests.support.audio_files import FORMATS, encode, packets_of, with_flac_total, with_wav_length
from tests.support.media import make_noise, write_float_wav, write_mp3, write_wav
from tests.support.windows import low_noise

LIMITS = MediaLimits()
RATE_HZ = 16_000

Writer = Callable[..., Path]


def report_on(path: Path) -> WindowReport:
    """Of the loudest second; the probe takes the file as well."""
    probe_audio(path, LIMITS)
    *_, report, waveform = read_window(path, LIMITS, RATE_HZ, RATE_HZ)
    assert isinstance(report, WindowReport)
    assert isinstance(waveform, np.ndarray)
    assert waveform.std() > 0.01
    return report


@pytest.mark.parametrize(
    "announced",
    [
        pytest.param(0, id="never filled in"),
        pytest.param(2 * 4 * RATE_HZ + 44, id="the header counted as well"),
        pytest.param(2 * 4 * RATE_HZ + 1, id="an odd byte more"),
        pytest.param(0x7FFF_F000, id="sox"),
        pytest.param(0x7FFF_F024, id="sox with its header"),
        pytest.param(0x7FFF_FFFF, id="the largest signed number"),
        pytest.param(0x8000_0000, id="arecord"),
        pytest.param(0x7FFF_FFDC, id="arecord in whole frames"),
        pytest.param(0xFFFF_FFFF, id="a pipe"),
        pytest.param(0xFFFF_FFDB, id="a pipe with its header"),
    ],
)
def test_a_wav_whose_length_is_unknown_or_a_little_wrong_is_whole(tmp_path: Path, announced: int) -> None:
    content = write_wav(tmp_path / "whole", make_noise(4)).read_bytes()
    (tmp_path / "x").write_bytes(with_wav_length(content, announced))
    report = report_on(tmp_path / "x")
    assert report.seconds == pytest.approx(4, abs=0.001)
    assert report.notes == ()


def test_a_wav_of_floats_from_a_pipe_is_whole(tmp_path: Path) -> None:
    content = write_float_wav(tmp_path / "whole", make_noise(4)).read_bytes()
    (tmp_path / "x").write_bytes(with_wav_length(content, 0xFFFF_FFFF))
    assert report_on(tmp_path / "x").notes == ()


@pytest.mark.parametrize(
    ("name", "place", "length"), [("AU", 8, struct.pack(">I", 0xFFFF_FFFF)), ("CAF", None, struct.pack(">q", -1))]
)
def test_other_formats_of_unknown_length_are_whole(name: str, place: int | None, length: bytes, tmp_path: Path) -> None:
    write, rate_hz = FORMATS[name]
    content = bytearray(write(tmp_path / "whole", low_noise(4, rate_hz)).read_bytes())
    place = content.index(b"data") + 4 if place is None else place
    content[place : place + len(length)] = length
    (tmp_path / "x").write_bytes(content)
    report = report_on(tmp_path / "x")
    assert report.seconds == pytest.approx(4, abs=0.01)
    assert report.notes == ()


@pytest.mark.parametrize("offset", [-5, 2**63 - 1])
def test_a_header_that_sends_the_reader_to_no_place_is_an_error_and_no_exception(tmp_path: Path, offset: int) -> None:
    with write_wav(tmp_path / "x", make_noise(1)).open("rb") as file:
        assert Nameless(file).seek(offset) < 0
        assert Nameless(file).seek(12) == 12


def test_an_aiff_from_a_pipe_is_whole(tmp_path: Path) -> None:
    write, rate_hz = FORMATS["AIFF"]
    content = bytearray(write(tmp_path / "whole", low_noise(4, rate_hz)).read_bytes())
    frames = content.index(b"COMM") + 10
    content[frames : frames + 4] = struct.pack(">I", 0x7F00_0000 // 2)
    content[4:8] = struct.pack(">I", 0x7F00_0000)
    sound = content.index(b"SSND") + 4
    content[sound : sound + 4] = struct.pack(">I", 0x7F00_0008)
    (tmp_path / "x").write_bytes(content)
    report = report_on(tmp_path / "x")
    assert report.seconds == pytest.approx(4, abs=0.01)
    assert report.notes == ()


def test_a_flac_cut_by_stream_copy_is_taken(tmp_path: Path) -> None:
    content = media.write_flac(tmp_path / "whole", make_noise(4)).read_bytes()
    (tmp_path / "x").write_bytes(with_flac_total(content, 60 * RATE_HZ))
    report = report_on(tmp_path / "x")
    assert report.seconds == 4
    assert [note.code for note in report.notes] == ["incomplete"]
    assert "after 4.0 s (its header announces 60.0 s)" in report.notes[0].detail


@pytest.mark.parametrize("total", [0, RATE_HZ])
def test_a_flac_that_states_nothing_or_too_little_is_whole(tmp_path: Path, total: int) -> None:
    content = media.write_flac(tmp_path / "whole", make_noise(4)).read_bytes()
    (tmp_path / "x").write_bytes(with_flac_total(content, total))
    report = report_on(tmp_path / "x")
    assert report.seconds == 4
    assert report.notes == ()


def test_a_flac_that_begins_in_the_middle_of_a_recording_is_taken(tmp_path: Path) -> None:
    whole = media.write_flac(tmp_path / "whole", make_noise(8))
    packets, _ = packets_of(whole)
    content = whole.read_bytes()
    begin = content.index(packets[0])
    (tmp_path / "x").write_bytes(content[:begin] + b"".join(packets[len(packets) // 2 :]))
    assert report_on(tmp_path / "x").seconds == pytest.approx(4, abs=0.3)


@pytest.mark.parametrize("write", [write_wav, write_float_wav, write_mp3, media.write_flac, media.write_webm])
def test_a_file_that_was_cut_off_is_used_as_far_as_it_goes(tmp_path: Path, write: Writer) -> None:
    whole = write(tmp_path / "whole", make_noise(4, sample_rate_hz=48_000), sample_rate_hz=48_000).read_bytes()
    (tmp_path / "x").write_bytes(whole[: int(len(whole) * 0.6)])
    report = report_on(tmp_path / "x")
    assert 2 < report.seconds < 2.6
    (note,) = report.notes
    assert note.code == "incomplete"
    assert f"breaks off after {report.seconds:.1f} s (its header announces 4.0 s)" in note.detail


def test_an_ogg_that_was_cut_off_is_used_as_far_as_it_goes(tmp_path: Path) -> None:
    whole = media.write_ogg(tmp_path / "whole", make_noise(4)).read_bytes()
    (tmp_path / "x").write_bytes(whole[: int(len(whole) * 0.6)])
    (note,) = report_on(tmp_path / "x").notes
    assert "its last page is incomplete" in note.detail


def test_an_m4a_made_for_the_web_that_was_cut_off_is_used_as_far_as_it_goes(tmp_path: Path) -> None:
    options = {"movflags": "faststart"}
    whole = encode(tmp_path / "whole", make_noise(4), RATE_HZ, "mp4", "aac", options=options, bit_rate=64_000)
    content = whole.read_bytes()
    (tmp_path / "x").write_bytes(content[: int(len(content) * 0.6)])
    report = report_on(tmp_path / "x")
    assert 1.5 < report.seconds < 3
    assert [note.code for note in report.notes] == ["incomplete"]


@pytest.mark.parametrize("name", ["AIFF", "CAF", "AU", "Wave64", "WMA 2", "AMR", "AC-3", "AAC (ADTS)", "ALAC in CAF"])
def test_every_format_is_used_as_far_as_it_goes(name: str, tmp_path: Path) -> None:
    write, rate_hz = FORMATS[name]
    whole = write(tmp_path / "whole", low_noise(4, rate_hz)).read_bytes()
    (tmp_path / "x").write_bytes(whole[: int(len(whole) * 0.6)])
    if name == "ALAC in CAF":  # its index lies at the end
        with pytest.raises(MediaError):
            probe_audio(tmp_path / "x", LIMITS)
        return
    assert 2 < report_on(tmp_path / "x").seconds < 2.7


@pytest.mark.parametrize("missing", [1, 2, 100])
@pytest.mark.parametrize("write", [write_wav, write_mp3, media.write_flac])
def test_a_few_bytes_that_are_missing_are_not_worth_a_word(tmp_path: Path, write: Writer, missing: int) -> None:
    whole = write(tmp_path / "whole", make_noise(4)).read_bytes()
    (tmp_path / "x").write_bytes(whole[:-missing])
    assert report_on(tmp_path / "x").notes == ()


# ---- what a program that writes into a pipe cannot fill in


@pytest.mark.parametrize("name", ["Wave64", "RF64", "AIFF", "AIFC of floats"])
def test_lengths_that_were_never_filled_in_are_found(tmp_path: Path, name: str) -> None:
    write, rate_hz = FORMATS[name]
    noise = make_noise(1.5, sample_rate_hz=rate_hz)
    content = bytearray(write(tmp_path / "x", noise).read_bytes())
    whole = decode_audio(tmp_path / "x", LIMITS, rate_hz)
    if name == "Wave64":
        data = content.index(b"data\xf3\xac")
        content[16:24] = content[data + 16 : data + 24] = b"\xff" * 7 + b"\x7f"
    elif name == "RF64":
        content[20:44] = bytes(24)
    else:
        data = content.index(b"SSND")
        content[4:8] = content[data + 4 : data + 8] = bytes(4)
    (tmp_path / "x").write_bytes(content)
    np.testing.assert_array_equal(decode_audio(tmp_path / "x", LIMITS, rate_hz), whole)
    assert len(whole) == len(noise)


@pytest.mark.parametrize(("name", "container"), [("PCM in AVI", "avi"), ("WMA 2", "asf")])
def test_a_recording_whose_length_was_never_filled_in_is_not_said_to_break_off(
    tmp_path: Path, name: str, container: str
) -> None:
    write, rate_hz = FORMATS[name]
    content = bytearray(write(tmp_path / "x", make_noise(2.0, sample_rate_hz=rate_hz)).read_bytes())
    assert report_on(tmp_path / "x").notes == ()
    (tmp_path / "x").write_bytes(content[:-9000])
    assert [note.code for note in report_on(tmp_path / "x").notes] == ["incomplete"]
    if container == "avi":
        content[4:8] = bytes(4)
        frames = content.index(b"strh") + 8 + 32
        content[frames : frames + 4] = (10_000_000).to_bytes(4, "little")
    else:
        properties = content.index(bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365"))
        content[properties + 40 : properties + 48] = bytes(8)
        content[properties + 64 : properties + 72] = (10**9).to_bytes(8, "little")
    (tmp_path / "x").write_bytes(content)
    assert report_on(tmp_path / "x").notes == ()


def test_a_wav_of_big_endian_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"RIFX" + write_wav(tmp_path / "x", make_noise(1.0)).read_bytes()[4:])
    with pytest.raises(UnsupportedMedia, match="RIFX"):
        probe_audio(tmp_path / "x", LIMITS)


def test_a_chunk_that_claims_to_end_beyond_all_files_is_no_fault_of_ours(tmp_path: Path) -> None:
    write, rate_hz = FORMATS["Wave64"]
    content = bytearray(write(tmp_path / "x", make_noise(1.0, sample_rate_hz=rate_hz)).read_bytes())
    content[56:64] = b"\xff" * 8  # the length of the first chunk, the format's
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(MediaError):
        probe_audio(tmp_path / "x", LIMITS)
