"""A fixed field of falling streaks: what the generator can make rain of where a picture is plain."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

FIELD_SIZE = 256  # pixels; the field tiles without a seam
STREAKS = 260
SLANT_DEGREES = 12.0


def streak_field(size: int = FIELD_SIZE, count: int = STREAKS, seed: int = 0) -> Tensor:
    """[size, size] in 0..1: thin tapered lines of 10 to 40 pixels, slanted by 12 degrees give or take 3."""
    rng = torch.Generator().manual_seed(seed)
    draw = torch.rand(count, 5, generator=rng)
    field = torch.zeros(size, size)
    steps = torch.linspace(0, 1, 81)
    for row, column, length, angle, brightness in draw.tolist():
        reach = (10 + 30 * length**2) * steps
        radians = math.radians(SLANT_DEGREES + 6 * (angle - 0.5))
        rows = row * size + reach * math.cos(radians)
        columns = column * size - reach * math.sin(radians)
        light = (0.3 + 0.7 * brightness) * torch.sin(math.pi * steps) * float(reach[-1]) / len(steps)
        low = columns.floor()
        for side, share in ((0, 1 - (columns - low)), (1, columns - low)):
            place = (rows.round().long() % size) * size + (low.long() + side) % size
            field.view(-1).index_add_(0, place, light * share)
    soft = torch.tensor([0.25, 0.5, 0.25]).view(1, 1, 1, 3)
    field = F.conv2d(F.pad(field[None, None], (1, 1, 0, 0), mode="circular"), soft)[0, 0]
    return field.mul(1.6).clamp(0, 1)
