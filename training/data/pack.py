"""A dataset in one file: decoded images and waveforms, and the index of what occurs together.

`python -m training pack INDEX FILE` writes it (`training.data.pack_command`). Like a shard it is named as if it were a
folder (`walks.pack/0000012-walk.jpg`), so that a run from the pack draws, crops and hears what a run from the index
does: the decoded pixels and samples are the same, and their order is. It is mapped into memory, not read.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

ENDING = ".pack"
FORMAT = 1


class PackError(ValueError):
    """A pack that cannot be used; the message says what to do."""


@dataclass(frozen=True)
class Pack:
    """index: JSON lines whose paths are names in the pack. pixels, samples: those of all files, end to end.

    images: offset, height and width in `pixels` by name. sounds: offset and length in `samples` by name.
    unreadable: why a file could not be decoded, by its name.
    """

    path: Path
    sample_rate_hz: int
    index: str
    pixels: Tensor
    samples: Tensor
    images: dict[str, tuple[int, int, int]]
    sounds: dict[str, tuple[int, int]]
    unreadable: dict[str, str]

    def image(self, name: str) -> NDArray[np.uint8]:
        """[H, W, 3]; a view of the file. Raises KeyError."""
        offset, height, width = self.images[name]
        pixels: NDArray[np.uint8] = self.pixels[offset : offset + 3 * height * width].numpy()
        return pixels.reshape(height, width, 3)

    def sound(self, name: str, sample_rate_hz: int) -> Tensor:
        """[N]; a view of the file. Raises KeyError, and PackError for another rate than the pack's."""
        if sample_rate_hz != self.sample_rate_hz:
            raise PackError(
                f"{self.path} holds audio at {self.sample_rate_hz} Hz, and {sample_rate_hz} are needed: "
                f"pack the index again with --sample-rate {sample_rate_hz}"
            )
        offset, length = self.sounds[name]
        return self.samples[offset : offset + length]


def pack_of(path: Path) -> Path | None:
    """The pack that the path leads into, or is, if it does."""
    return next((each for each in (path, *path.parents) if each.suffix == ENDING and not each.is_dir()), None)


@lru_cache(maxsize=8)
def open_pack(path: Path) -> Pack:
    """Raises PackError."""
    try:
        values: dict[str, Any] = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
        if values["format"] != FORMAT:
            raise PackError(f"{path} has format {values['format']}, not {FORMAT}: pack the index again")
        images = {name: (int(o), int(h), int(w)) for name, (o, h, w) in values["images"].items()}
        sounds = {name: (int(offset), int(length)) for name, (offset, length) in values["sounds"].items()}
        pack = Pack(
            path,
            int(values["sample_rate_hz"]),
            str(values["index"]),
            values["pixels"],
            values["samples"],
            images,
            sounds,
            dict(values["unreadable"]),
        )
        _check(pack)
    except PackError:
        raise
    except (OSError, RuntimeError, pickle.UnpicklingError, KeyError, TypeError, ValueError, EOFError) as exc:
        raise PackError(f"{path} is not a readable pack: {exc}") from exc
    return pack


def _check(pack: Pack) -> None:
    """Raises ValueError for tensors that are not what the names say."""
    if pack.pixels.dtype != torch.uint8 or pack.samples.dtype != torch.float32:
        raise ValueError("its pixels are not bytes, or its samples no floats")
    ends = [offset + 3 * height * width for offset, height, width in pack.images.values()]
    if max(ends, default=0) > len(pack.pixels) or any(min(place) < 0 for place in pack.images.values()):
        raise ValueError("it ends before its images do")
    ends = [offset + length for offset, length in pack.sounds.values()]
    if max(ends, default=0) > len(pack.samples) or any(min(place) < 0 for place in pack.sounds.values()):
        raise ValueError("it ends before its audio does")
