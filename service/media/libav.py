"""What every door for foreign sounds and videos has in common: a file without its name, and no way to other files."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NoReturn, Protocol

import av
from av.container import InputContainer

DEMUXERS: Final = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm"  # those that carry sounds and videos both
VIDEO_DEMUXERS: Final = f"{DEMUXERS},mpegts,mpeg,avi,flv"


class Readable(Protocol):
    """What is asked of a file."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move, as files do."""

    def tell(self) -> int:
        """The position."""


class Nameless:
    """A file without its name, by which libav would choose a demuxer or a protocol."""

    def __init__(self, file: Readable) -> None:
        self._file = file

    def read(self, size: int) -> bytes:
        """Up to `size` bytes."""
        return self._file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move, as files do; a negative number for a place that no file has: libav takes what is raised here badly."""
        try:
            return self._file.seek(offset, whence)
        except (OSError, ValueError):
            return -1

    def tell(self) -> int:
        """The position."""
        return self._file.tell()


@contextmanager
def open_known(path: Path) -> Iterator[InputContainer]:
    """A file that was looked at before, or that we made; its demuxers are listed, and it reaches no other file."""
    options = {"format_whitelist": VIDEO_DEMUXERS, "protocol_whitelist": "none"}
    with path.open("rb") as file, open_nameless(file, options) as opened:
        yield opened


def open_nameless(file: Readable, options: dict[str, str]) -> InputContainer:
    """Open with these options; texts that are not UTF-8, as old cameras write them, are no reason to refuse a file."""
    return av.open(Nameless(file), "r", options=options, io_open=refuse_other_files, metadata_errors="replace")


def readable_packets(container: Any, streams: Any) -> Iterator[Any]:
    """Packets of a stream, or of several, up to where the file breaks off."""
    packets = container.demux(streams)
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError:
            return
        if packet is None:
            return
        yield packet


def refuse_other_files(*_: object) -> NoReturn:
    """For `av.open(io_open=...)`."""
    raise PermissionError("a media file may not open other files")
