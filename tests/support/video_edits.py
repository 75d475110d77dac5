"""Make of a video what editors and recorders make: trims without encoding, edit lists, wrong headers, equal times."""

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np


def trim_without_encoding(source: Path, target: Path, start: float, seconds: float) -> Path:
    """Copy the packets, with `start` as 0: an MP4 hides what lies before by an edit list, Matroska moves it."""
    with av.open(str(source)) as given, av.open(str(target), "w") as output:
        copies = {stream.index: output.add_stream_from_template(stream) for stream in given.streams}
        for packet in given.demux():
            if packet.pts is None or packet.dts is None or packet.pts * packet.time_base >= start + seconds:
                continue
            if packet.stream.type == "audio" and packet.pts * packet.time_base < start - Fraction(1, 20):
                continue
            shift = round(start / packet.time_base)
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            packet.stream = copies[packet.stream_index]
            output.mux(packet)
    return target


def set_edits(path: Path, kind: bytes, edits: Sequence[tuple[float, float]]) -> Path:
    """Replace the edit list of an MP4's `vide` or `soun` track: (start in the media, duration), in seconds."""
    content = bytearray(path.read_bytes())
    moov = _find(content, b"moov", 0, len(content))
    assert moov + _size(content, moov) == len(content), "the index is behind the media, so that it may grow"
    movie_scale = struct.unpack_from(">I", content, _find(content, b"mvhd", moov + 8, len(content)) + 20)[0]
    trak = moov + 8
    while True:
        trak = _find(content, b"trak", trak, len(content))
        mdia = _find(content, b"mdia", trak + 8, len(content))
        handler = _find(content, b"hdlr", mdia + 8, len(content))
        if content[handler + 16 : handler + 20] == kind:
            break
        trak += _size(content, trak)
    media_scale = struct.unpack_from(">I", content, _find(content, b"mdhd", mdia + 8, len(content)) + 20)[0]
    edts = _find(content, b"edts", trak + 8, mdia)
    elst = struct.pack(">II", 0, len(edits)) + b"".join(
        struct.pack(">IiI", round(length * movie_scale), round(start * media_scale), 0x10000) for start, length in edits
    )
    box = struct.pack(">I4s", 16 + len(elst), b"edts") + struct.pack(">I4s", 8 + len(elst), b"elst") + elst
    growth = len(box) - _size(content, edts)
    content[edts : edts + _size(content, edts)] = box
    for parent in (moov, trak):
        struct.pack_into(">I", content, parent, _size(content, parent) + growth)
    path.write_bytes(content)
    return path


def set_matroska_duration(path: Path, seconds: float) -> Path:
    """Have the header of a Matroska or WebM file announce that duration."""
    content = bytearray(path.read_bytes())
    place = content.index(b"\x44\x89\x88") + 3
    struct.pack_into(">d", content, place, seconds * 1000)
    path.write_bytes(content)
    return path


def repeat_timestamps(source: Path, target: Path, frames: Sequence[int]) -> Path:
    """Copy a Matroska file; each of these frames (from 1 on, no B-frames) has the timestamp of the one before."""
    with av.open(str(source)) as given, av.open(str(target), "w") as output:
        copies = {stream.index: output.add_stream_from_template(stream) for stream in given.streams}
        number, before = 0, 0
        for packet in given.demux():
            if packet.pts is None:
                continue
            if packet.stream.type == "video":
                if number in frames:
                    packet.pts = packet.dts = before
                before, number = packet.pts, number + 1
            packet.stream = copies[packet.stream_index]
            output.mux(packet)
    return target


def write_empty_track(path: Path) -> Path:
    """A Matroska file of ten frames whose audio track has no packets."""
    with av.open(str(path), "w") as output:
        video: Any = output.add_stream("libx264", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        output.add_stream("aac", rate=48_000, layout="mono")
        for _ in range(10):
            output.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")))
        output.mux(video.encode(None))
    return path


def _find(content: bytes | bytearray, name: bytes, begin: int, end: int) -> int:
    """Where the box of that name begins, among those next to each other from `begin` on."""
    while begin + 8 <= end:
        if content[begin + 4 : begin + 8] == name:
            return begin
        begin += _size(content, begin)
    raise ValueError(f"there is no {name.decode()}")


def _size(content: bytes | bytearray, box: int) -> int:
    size: int = struct.unpack_from(">I", content, box)[0]
    assert size >= 8
    return size
