"""Augmented views of an image: random crop, scale and mirror."""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True)
class ViewBox:
    """Which part of an image is seen: left, top, right, bottom in its pixels; and whether mirrored."""

    box: tuple[float, float, float, float]
    is_mirrored: bool


def draw_box(width: int, height: int, crop: int, zoom: tuple[float, float], rng: np.random.Generator) -> ViewBox:
    """A square whose side is the crop's once the short side of the image is scaled to zoom times the crop."""
    side = crop * rng.uniform(*zoom)
    scale = side / min(width, height)
    size = (max(crop, round(width * scale)), max(crop, round(height * scale)))
    left, top = (int(rng.integers(length - crop + 1)) for length in size)
    box = (left / scale, top / scale, (left + crop) / scale, (top + crop) / scale)
    return ViewBox((box[0], box[1], min(box[2], width), min(box[3], height)), bool(rng.random() < 0.5))


def view_of(
    photograph: NDArray[np.uint8], crop: int, zoom: tuple[float, float], rng: np.random.Generator, max_red: float = 1.0
) -> torch.Tensor:
    """A random crop of a photograph [H, W, 3], its short side scaled to zoom times the crop, mirrored half of the time.

    Returns [3, crop, crop] in [-1, 1].
    """
    image = Image.fromarray(photograph)
    drawn = draw_box(image.width, image.height, crop, zoom, rng)
    image = image.resize((crop, crop), Image.Resampling.BICUBIC, box=drawn.box)
    pixels = media.less_red(np.asarray(image), max_red)
    return media.to_tensor(pixels[:, ::-1] if drawn.is_mirrored else pixels)
