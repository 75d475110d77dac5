"""The list of examples, and their files: made at first use, kept in a folder, and given out whole."""

import hashlib
import logging
import threading
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from service.examples.images import IMAGES
from service.examples.sounds import SAMPLE_RATE_HZ, SOUNDS
from service.media.audio_writer import AudioWriter
from service.media.image_writer import encode_image
from service.media.soundtrack_reader import TrackForm

logger = logging.getLogger(__name__)

ExampleField = Literal["image", "audio"]
PREFIX: Final = "example:"  # of their ids


@dataclass(frozen=True)
class Example:
    """field: in which jobs use it. title: for people. scene: as which the shipped model hears a sound."""

    name: str
    field: ExampleField
    title: str
    file_name: str
    media_type: str
    scene: str | None = None


EXAMPLES: Final[dict[str, Example]] = {
    **{name: Example(name, "image", one.title, f"{name}.jpg", "image/jpeg") for name, one in IMAGES.items()},
    **{name: Example(name, "audio", one.title, f"{name}.m4a", "audio/mp4", one.scene) for name, one in SOUNDS.items()},
}


class ExampleFiles:
    """The files of all examples, below one folder that several processes may share."""

    def __init__(self, folder: Path) -> None:
        """The files lie in a sub-folder that another version of the programs does not use."""
        self._folder = folder.resolve() / _version()
        self._gate = threading.Lock()
        self._maker: threading.Thread | None = None

    def path(self, example: Example) -> Path:
        """Where the example's file lies; it is made if it is not there. Raises OSError if it cannot be written."""
        path = self._folder / example.file_name
        if path.exists():
            return path
        with self._gate:
            if not path.exists():
                self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                partial = self._folder / f".{uuid.uuid4().hex}.mp4"
                try:
                    make_file(example, partial)
                    partial.replace(path)
                finally:
                    partial.unlink(missing_ok=True)
        return path

    def make_soon(self) -> None:
        """Have a thread make whatever is not there yet; the first time that it is asked for."""
        if self._maker is None:
            self._maker = threading.Thread(target=self._make_all, name="examples", daemon=True)
            self._maker.start()

    def _make_all(self) -> None:
        try:
            for example in EXAMPLES.values():
                self.path(example)
        except OSError as exc:
            logger.warning("the examples are not made ahead: %s", exc)


def make_file(example: Example, path: Path) -> None:
    """Draw or synthesize the example, and write it as a JPEG or as AAC in MP4, which every browser plays."""
    if example.field == "image":
        path.write_bytes(encode_image(IMAGES[example.name].pixels(), "jpeg"))
        return
    form = TrackForm(SAMPLE_RATE_HZ, 1, 0.0, "", 0)
    with AudioWriter(path, "mp4", form) as writer:
        writer.write(SOUNDS[example.name].waveform()[None])


def _version() -> str:
    """A name for what the programs of this package make: another one when they change."""
    programs = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(map(Path.read_bytes, programs))).hexdigest()[:16]
