"""Augmented views of an image: random crop, scale and mirror."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from training.data import media


def random_view(
    path: Path, crop: int, zoom: tuple[float, float], rng: np.random.Generator, max_red: float = 1.0
) -> torch.Tensor:
    """A random crop [3, crop, crop] in [-1, 1] of a photograph."""
    return view_of(media.read_image(path), crop, zoom, rng, max_red)


def view_of(
    photograph: NDArray[np.uint8], crop: int, zoom: tuple[float, float], rng: np.random.Generator, max_red: float = 1.0
) -> torch.Tensor:
    """A random crop of a photograph [H, W, 3], its short side scaled to zoom times the crop, mirrored half of the time.

    Returns [3, crop, crop] in [-1, 1].
    """
    image = Image.fromarray(photograph)
    side = crop * rng.uniform(*zoom)
    scale = side / min(image.size)
    size = (max(crop, round(image.width * scale)), max(crop, round(image.height * scale)))
    left, top = (int(rng.integers(length - crop + 1)) for length in size)
    box = (left / scale, top / scale, (left + crop) / scale, (top + crop) / scale)
    box = (box[0], box[1], min(box[2], image.width), min(box[3], image.height))
    image = image.resize((crop, crop), Image.Resampling.BICUBIC, box=box)
    pixels = media.less_red(np.asarray(image), max_red)
    return media.to_tensor(pixels[:, ::-1] if rng.random() < 0.5 else pixels)
