"""Decode everything that an index names into one file (`training.data.pack`)."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from tqdm import tqdm

from training.data import media
from training.data.files import written_whole
from training.data.index import PairingError, read_index
from training.data.pack import ENDING, FORMAT, PackError

MOST_BYTES = 8 << 30  # of pixels and samples together, which are in memory at once
SPLITS = ("train", "test")

Decoded = TypeVar("Decoded", bound=Any)


def write_pack(index: Path, output: Path, sample_rate_hz: int) -> dict[str, Any]:
    """Write the pack and return what it holds. Raises PackError and PairingError.

    Names begin with a number, so that they sort as the paths did: a run draws from sorted lists.
    """
    if output.suffix != ENDING:
        raise PackError(f"{output} must end in {ENDING}, by which a pack is known")
    if sample_rate_hz < 1000:
        raise PackError(f"a sample rate of {sample_rate_hz} Hz is none")
    pairs = []
    for split in SPLITS:
        try:
            pairs += read_index(index, split)
        except PairingError:
            if split == "train":
                raise
    names = {path: f"{number:07d}-{path.name}" for number, path in enumerate(sorted({p.image for p in pairs}))}
    heard = sorted({pair.sound for pair in pairs if pair.sound is not None})
    names |= {path: f"{number:07d}-{path.name}" for number, path in enumerate(heard, len(names))}
    unreadable: dict[str, str] = {}
    total = 0

    def decoded(paths: Sequence[Path], decode: Callable[[Path], Decoded], what: str) -> dict[str, Decoded]:
        nonlocal total
        found = {}
        for path in tqdm(paths, desc=what, unit="file"):
            try:
                found[names[path]] = decode(path)
            except media.MediaError as exc:
                unreadable[names[path]] = str(exc)
                continue
            total += found[names[path]].nbytes
            if total > MOST_BYTES:
                raise PackError(f"{index} decodes to more than {MOST_BYTES >> 30} GiB: pack a smaller one, or train "
                                "from shards")  # fmt: skip
        return found

    images = decoded([path for path in names if path not in set(heard)], media.read_image, "images")
    sounds = decoded(heard, lambda path: media.read_sound(path, sample_rate_hz).numpy(), "audio")
    lines = []
    for pair in pairs:
        own = {"image": names[pair.image], "sound": None if pair.sound is None else names[pair.sound]}
        lines.append(json.dumps({**dataclasses.asdict(pair), **own}))
    values = {
        "format": FORMAT,
        "sample_rate_hz": sample_rate_hz,
        "index": "\n".join(lines) + "\n",
        "images": _places(images, lambda pixels: pixels.shape[:2]),
        "pixels": _joined(images, np.uint8),
        "sounds": _places(sounds, lambda samples: samples.shape),
        "samples": _joined(sounds, np.float32),
        "unreadable": unreadable,
    }
    with written_whole(output) as partial:
        torch.save(values, partial)
    return values


def _places(arrays: dict[str, Any], shape: Callable[[Any], Sequence[int]]) -> dict[str, tuple[int, ...]]:
    """Where each begins when they lie end to end, and its shape."""
    found, offset = {}, 0
    for name, array in arrays.items():
        found[name] = (offset, *shape(array))
        offset += array.size
    return found


def _joined(arrays: dict[str, Any], kind: type) -> torch.Tensor:
    flat = [np.ascontiguousarray(array).ravel() for array in arrays.values()]
    return torch.from_numpy(np.concatenate(flat) if flat else np.empty(0, kind))
