"""The list of examples, and their files, which lie beside it; `python -m service.examples` makes them anew."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from service.examples.images import IMAGES
from service.examples.sounds import SAMPLE_RATE_HZ, SOUNDS
from service.media.audio_writer import AudioWriter
from service.media.image_writer import encode_image
from service.media.soundtrack_reader import TrackForm

ExampleField = Literal["image", "audio"]
PREFIX: Final = "example:"  # of their ids
FOLDER: Final = Path(__file__).parent / "files"


@dataclass(frozen=True)
class Example:
    """field: in which jobs use it. title: for people. scene: as which the shipped model hears a sound."""

    name: str
    field: ExampleField
    title: str
    file_name: str
    media_type: str
    scene: str | None = None

    @property
    def path(self) -> Path:
        """Where its file lies."""
        return FOLDER / self.file_name


EXAMPLES: Final[dict[str, Example]] = {
    **{name: Example(name, "image", one.title, f"{name}.jpg", "image/jpeg") for name, one in IMAGES.items()},
    **{name: Example(name, "audio", one.title, f"{name}.m4a", "audio/mp4", one.scene) for name, one in SOUNDS.items()},
}


def make_file(example: Example, path: Path) -> None:
    """Draw or synthesize the example, and write it as a JPEG or as AAC in MP4, which every browser plays."""
    if example.field == "image":
        path.write_bytes(encode_image(IMAGES[example.name].pixels(), "jpeg"))
        return
    form = TrackForm(SAMPLE_RATE_HZ, 1, 0.0, "", 0)
    with AudioWriter(path, "mp4", form) as writer:
        writer.write(SOUNDS[example.name].waveform()[None])
