"""Audio files as phones, recorders, editors and broken programs write them."""

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.floating]


def encode(
    path: Path,
    samples: Samples,
    sample_rate_hz: int,
    container: str,
    codec: str,
    layout: str = "mono",
    options: dict[str, str] | None = None,
    bit_rate: int = 0,
) -> Path:
    """Write [N] or [N, channels] with libav; the samples' full scale is 1."""
    with av.open(str(path), "w", format=container, options=options or {}) as output:
        stream = output.add_stream(codec, rate=sample_rate_hz, layout=layout)
        assert isinstance(stream, av.AudioStream)
        if bit_rate:
            stream.bit_rate = bit_rate
        interleaved = np.ascontiguousarray(samples, np.float32).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(interleaved, format="flt", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = sample_rate_hz, 0, Fraction(1, sample_rate_hz)
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def packets_of(path: Path) -> tuple[list[bytes], bytes]:
    """A file's packets, and the private data of its codec."""
    with av.open(str(path)) as container:
        (stream,) = container.streams.audio
        packets = [bytes(packet) for packet in container.demux(stream) if packet.size]
        return packets, stream.codec_context.extradata or b""


def write_caf_opus(path: Path, samples: Samples, sample_rate_hz: int = 48_000) -> Path:
    """Opus in CAF, as iOS records voice messages; libav reads it and cannot write it."""
    packets, _ = packets_of(encode(path, samples, sample_rate_hz, "ogg", "libopus"))
    described = struct.pack(">d4sIIIII", sample_rate_hz, b"opus", 0, 0, 960, 1, 0)
    sizes = b"".join(_variable_length(len(packet)) for packet in packets)
    table = struct.pack(">qqii", len(packets), 960 * len(packets), 0, 0) + sizes
    chunks = [(b"desc", described), (b"pakt", table), (b"data", bytes(4) + b"".join(packets))]
    content = b"caff" + struct.pack(">HH", 1, 0)
    path.write_bytes(content + b"".join(kind + struct.pack(">q", len(data)) + data for kind, data in chunks))
    return path


def write_sphere(path: Path, samples: Samples, sample_rate_hz: int) -> Path:
    """NIST SPHERE, as corpora of speech are handed out."""
    fields = (
        "NIST_1A\n   1024\nchannel_count -i 1\n"
        f"sample_count -i {len(samples)}\nsample_rate -i {sample_rate_hz}\n"
        "sample_n_bytes -i 2\nsample_byte_format -s2 01\nsample_sig_bits -i 16\nsample_coding -s3 pcm\nend_head\n"
    )
    path.write_bytes(fields.encode().ljust(1024, b" ") + (np.asarray(samples) * 32_767).astype("<i2").tobytes())
    return path


def with_wav_length(content: bytes, announced: int) -> bytes:
    """A WAV whose data chunk (and RIFF) states another length than it has."""
    place = content.index(b"data") + 4
    changed = bytearray(content)
    changed[4:8] = struct.pack("<I", min(announced + place - 4, 0xFFFF_FFFF))
    changed[place : place + 4] = struct.pack("<I", announced)
    return bytes(changed)


def with_flac_total(content: bytes, samples: int) -> bytes:
    """A FLAC whose STREAMINFO states that many samples, as a stream copy leaves it."""
    changed = bytearray(content)
    changed[21] = changed[21] & 0xF0 | samples >> 32
    changed[22:26] = struct.pack(">I", samples & 0xFFFF_FFFF)
    return bytes(changed)


def _variable_length(number: int) -> bytes:
    parts = [number & 0x7F]
    while number := number >> 7:
        parts.append(number & 0x7F | 0x80)
    return bytes(reversed(parts))


def _with_libav(container: str, codec: str, rate_hz: int = 48_000, bit_rate: int = 0, **options: str) -> "Format":
    def write(path: Path, samples: Samples) -> Path:
        return encode(path, samples, rate_hz, container, codec, options=options, bit_rate=bit_rate)

    return write, rate_hz


Format = tuple[Callable[[Path, Samples], Path], int]

LOSSLESS: dict[str, Format] = {
    "AIFF": _with_libav("aiff", "pcm_s16be"),
    "AIFC of floats": _with_libav("aiff", "pcm_f32be"),
    "CAF": _with_libav("caf", "pcm_s16le"),
    "ALAC in CAF": _with_libav("caf", "alac"),
    "ALAC in M4A": _with_libav("ipod", "alac"),
    "AU": _with_libav("au", "pcm_s16be"),
    "Wave64": _with_libav("w64", "pcm_s24le"),
    "RF64": _with_libav("wav", "pcm_s16le", rf64="always"),
    "WAV of 32 bits": _with_libav("wav", "pcm_s32le"),
    "WAV of doubles": _with_libav("wav", "pcm_f64le"),
    "FLAC in Ogg": _with_libav("ogg", "flac"),
    "FLAC in Matroska": _with_libav("matroska", "flac"),
    "PCM in QuickTime": _with_libav("mov", "pcm_s16be"),
    "PCM in AVI": _with_libav("avi", "pcm_s16le"),
    "IRCAM": _with_libav("ircam", "pcm_s16le"),
    "SoX": _with_libav("sox", "pcm_s32le"),
    "SPHERE": (lambda path, samples: write_sphere(path, samples, 16_000), 16_000),
}
LOSSY: dict[str, Format] = {
    "AAC (ADTS)": _with_libav("adts", "aac", bit_rate=96_000),
    "AAC (LATM)": _with_libav("latm", "aac", bit_rate=96_000),
    "AAC in 3GP": _with_libav("3gp", "aac", bit_rate=96_000),
    "AAC in MPEG-TS": _with_libav("mpegts", "aac", bit_rate=96_000),
    "AAC in FLV": _with_libav("flv", "aac", bit_rate=96_000),
    "AMR": _with_libav("amr", "libopencore_amrnb", 8_000),
    "AMR in 3GP": _with_libav("3gp", "libopencore_amrnb", 8_000),
    "WMA 1": _with_libav("asf", "wmav1", 44_100, 96_000),
    "WMA 2": _with_libav("asf", "wmav2", 44_100, 96_000),
    "AC-3": _with_libav("ac3", "ac3", bit_rate=96_000),
    "E-AC-3": _with_libav("eac3", "eac3", bit_rate=96_000),
    "MP2": _with_libav("mp2", "mp2"),
    "MP3 of variable rate": _with_libav("mp3", "libmp3lame", 44_100),
    "MP3 in WAV": _with_libav("wav", "libmp3lame", bit_rate=96_000),
    "Opus in CAF": (write_caf_opus, 48_000),
    "Opus in MP4": _with_libav("mp4", "libopus"),
    "mu-law AU": _with_libav("au", "pcm_mulaw", 8_000),
    "mu-law AIFC": _with_libav("aiff", "pcm_mulaw"),
    "ADPCM in AIFC": _with_libav("aiff", "adpcm_ima_qt"),
    "ADPCM in WAV": _with_libav("wav", "adpcm_ima_wav"),
    "G.726 in WAV": _with_libav("wav", "g726", 8_000),
    "G.722 in WAV": _with_libav("wav", "g722", 16_000),
    "VOC": _with_libav("voc", "pcm_u8", 16_000),
    "TTA": _with_libav("tta", "tta"),  # of 8 bits, and so is the next
    "WavPack": _with_libav("wv", "wavpack"),
}
FORMATS = LOSSLESS | LOSSY
