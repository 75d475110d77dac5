"""Tell whether a sound file was cut short: its container may say how much there should be.

An MP3 or FLAC header, an MP4 index and a WebM header state a duration, a WAV header a number of bytes, and an Ogg
page its own length. A decoder plays what is left without a word, so this looks at the container itself.
"""

from typing import BinaryIO, Final

_STATES_DURATION: Final = {"flac", "mov", "matroska"}
_MP3_COUNT_TAGS: Final = (b"Xing", b"Info", b"VBRI")
_UNKNOWN_WAV_SIZE: Final = 0xFFFF_FFFF  # written by programs that stream into a pipe
_MAX_OGG_PAGE_BYTES: Final = 27 + 255 + 255 * 255
_TOLERANCE_SECONDS: Final = 0.3  # priming and padding of lossy codecs
_TOLERANCE_SHARE: Final = 0.01


def missing_end(file: BinaryIO, container: str, stated_seconds: float | None, found_seconds: float) -> str | None:
    """Why the file is taken to be cut short, to follow "after N s", or None if it looks whole.

    container: libav's name of the demuxer. stated_seconds: what it read from the header, None if nothing.
    found_seconds: up to where packets were found.
    """
    family = container.split(",", maxsplit=1)[0]
    if family == "wav":
        return _wav_end(file)
    if family == "ogg":
        return _ogg_end(file)
    if stated_seconds is None or not (family in _STATES_DURATION or (family == "mp3" and _counts_frames(file))):
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
    """Walk the chunks to `data` and compare its length with the file's."""
    end, position = _size(wav), 12
    while position + 8 <= end:
        header = _read_at(wav, position, 8)
        length = int.from_bytes(header[4:], "little")
        if header[:4] == b"data":
            missing = position + 8 + length - end
            whole = length in (0, _UNKNOWN_WAV_SIZE) or missing <= 0
            return None if whole else f"{missing} of the {length} bytes that its header announces are missing"
        position += 8 + length + length % 2
    return None


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
