"""Tell whether a sound file was cut short: its container may say how much there should be.

A decoder plays what is left without a word, so this looks at what the header states: a duration, or an Ogg page's own
length. Programs that stream into a pipe do not know it, and state the largest number that fits.
"""

from typing import BinaryIO, Final

from service.media.audio_formats import STATES_DURATION
from service.media.video_end import riff_end

_MP3_COUNT_TAGS: Final = (b"Xing", b"Info", b"VBRI")
_UNKNOWN_BYTES: Final = 2_000_000_000  # sox states 0x7ffff000, arecord 0x80000000, others 0xffffffff
_MAX_OGG_PAGE_BYTES: Final = 27 + 255 + 255 * 255
_ASF_FILE_PROPERTIES: Final = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_MAX_ASF_HEADER_BYTES: Final = 64 * 1024
_TOLERANCE_SECONDS: Final = 0.3  # priming and padding of lossy codecs
_TOLERANCE_SHARE: Final = 0.01


def missing_end(file: BinaryIO, container: str, stated_seconds: float | None, found_seconds: float) -> str | None:
    """Why the file is taken to be cut short, to follow "after N s", or None if it looks whole.

    container: libav's name of the demuxer. stated_seconds: what it read from the header, None if nothing.
    found_seconds: that were decoded.
    """
    family = container.split(",", maxsplit=1)[0]
    if family == "ogg":
        return _ogg_end(file)
    if family == "wav":
        return _wav_end(file)
    if family == "avi":
        return "its last part is incomplete" if riff_end(file, _size(file)) > _size(file) else None
    if family == "asf":
        return _asf_end(file)
    if stated_seconds is None or not (family in STATES_DURATION or (family == "mp3" and _counts_frames(file))):
        return None
    if found_seconds > 0 and stated_seconds / found_seconds * _size(file) > _UNKNOWN_BYTES:
        return None
    if stated_seconds - found_seconds > _TOLERANCE_SECONDS + _TOLERANCE_SHARE * stated_seconds:
        return f"its header announces {stated_seconds:.1f} s"
    return None


def _size(file: BinaryIO) -> int:
    return file.seek(0, 2)


def _read_at(file: BinaryIO, position: int, count: int) -> bytes:
    file.seek(position)
    return file.read(count)


def _counts_frames(mp3: BinaryIO) -> bool:
    """Whether the first frame states how many follow; without it the duration is a guess from the bit rate."""
    start = 0
    if (tag := _read_at(mp3, 0, 10))[:3] == b"ID3":
        start = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(tag[6:10], (21, 14, 7, 0), strict=False))
    frame = _read_at(mp3, start, 256)
    return any(name in frame for name in _MP3_COUNT_TAGS)


def _wav_end(wav: BinaryIO) -> str | None:
    """Walk the chunks to `data` and compare its length with the file's: libav takes the shorter one in silence."""
    end, position, bytes_each_second = _size(wav), 12, 1
    while position + 8 <= end:
        header = _read_at(wav, position, 8)
        length = int.from_bytes(header[4:], "little")
        if header[:4] == b"fmt ":
            bytes_each_second = max(1, int.from_bytes(_read_at(wav, position + 16, 4), "little"))
        if header[:4] == b"data":
            missing = (position + 8 + length - end) / bytes_each_second
            stated = length / bytes_each_second
            if length > _UNKNOWN_BYTES or missing <= _TOLERANCE_SECONDS + _TOLERANCE_SHARE * stated:
                return None
            return f"its header announces {stated:.1f} s"
        position += 8 + length + length % 2
    return None


def _asf_end(asf: BinaryIO) -> str | None:
    """Compare the file's own length, which a program that streams leaves at 0, with what is there."""
    head = _read_at(asf, 0, _MAX_ASF_HEADER_BYTES)
    place = head.find(_ASF_FILE_PROPERTIES)
    stated = int.from_bytes(head[place + 40 : place + 48], "little") if place >= 0 else 0
    return f"its header announces {stated} bytes" if _size(asf) < stated < _UNKNOWN_BYTES else None


def _ogg_end(ogg: BinaryIO) -> str | None:
    """Compare the last page's own length with what is left of the file."""
    end = _size(ogg)
    tail_start = max(0, end - _MAX_OGG_PAGE_BYTES)
    tail = _read_at(ogg, tail_start, _MAX_OGG_PAGE_BYTES)
    last = tail.rfind(b"OggS")
    page = tail[last:]
    if last < 0 or len(page) < 27 or len(page) < 27 + page[26]:
        return "its last page is incomplete"
    length = 27 + page[26] + sum(page[27 : 27 + page[26]])
    return "its last page is incomplete" if len(page) < length else None
