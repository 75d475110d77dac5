"""What every door for foreign sounds and videos has in common: a file without its name, and no way to other files."""

from typing import BinaryIO, Final, NoReturn

DEMUXERS: Final = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm"  # those that carry sounds and videos both


class Nameless:
    """A file without its name, by which libav would choose a demuxer or a protocol."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int) -> bytes:
        """Up to `size` bytes."""
        return self._file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move, as files do."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """The position."""
        return self._file.tell()


def refuse_other_files(*_: object) -> NoReturn:
    """For `av.open(io_open=...)`."""
    raise PermissionError("a media file may not open other files")
