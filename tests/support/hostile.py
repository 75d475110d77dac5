"""Files that an attacker or a broken program would send."""

import struct
import zlib
from pathlib import Path

import av


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk of a PNG with its length and CRC."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bomb(width: int = 30_000, height: int = 30_000) -> bytes:
    """A small PNG whose header announces width x height pixels, with real rows to begin with."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    rows = zlib.compress(bytes(4 * (1 + 3 * width)), 9)
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")


def wav(
    data: bytes, sample_rate_hz: int = 16_000, channels: int = 1, bits: int = 16, announced: int | None = None
) -> bytes:
    """A PCM WAV with any header; announced: the length that its data chunk states, if not the true one."""
    frame = channels * bits // 8
    rate = sample_rate_hz * frame & 0xFFFF_FFFF
    format_chunk = struct.pack("<HHIIHH", 1, channels, sample_rate_hz, rate, frame & 0xFFFF, bits)
    length = len(data) if announced is None else announced
    body = (
        b"WAVEfmt " + struct.pack("<I", len(format_chunk)) + format_chunk + b"data" + struct.pack("<I", length) + data
    )
    return b"RIFF" + struct.pack("<I", len(body) & 0xFFFF_FFFF) + body


def mp3_with_cover(mp3: bytes, cover: bytes, media_type: bytes = b"image/png") -> bytes:
    """The sound with an ID3 tag that carries `cover` as its album image."""
    image = b"\0" + media_type + b"\0\x03\0" + cover
    frame = b"APIC" + struct.pack(">I", len(image)) + b"\0\0" + image
    size = bytes((len(frame) >> shift) & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x03\0\0" + size + frame + mp3


def write_video_with_foreign_sound(path: Path) -> Path:
    """A Matroska file whose only sound track is of a codec (RealAudio 1.0) that is not taken."""
    with av.open(str(path), "w", format="matroska") as container:
        stream = container.add_stream("real_144", rate=8_000, layout="mono")
        assert isinstance(stream, av.AudioStream)
        frame = av.AudioFrame(format="s16", layout="mono", samples=160)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.sample_rate = 48_000
        for index in range(60):
            frame.pts = index * 160
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
