"""What a result is held against: a method that only moves colours."""

from __future__ import annotations

import torch
from torch import Tensor

# Reinhard et al. 2001, "Color Transfer between Images": RGB to the cones' responses, and their logarithms to lαβ.
RGB_TO_LMS = torch.tensor(
    [[0.3811, 0.5783, 0.0402], [0.1967, 0.7244, 0.0782], [0.0241, 0.1288, 0.8444]], dtype=torch.float64
)
LOG_LMS_TO_LAB = torch.diag(torch.tensor([3.0, 6.0, 2.0], dtype=torch.float64).rsqrt()) @ torch.tensor(
    [[1, 1, 1], [1, 1, -2], [1, -1, 0]], dtype=torch.float64
)
DARKEST = 1 / 255  # black has no logarithm


def colour_transfer(source: Tensor, target: Tensor) -> Tensor:
    """Give the source [3, H, W] the means and deviations in lαβ of the target [3, h, w]; both in [-1, 1].

    What then lies outside [-1, 1] is cut off.
    """
    given, wanted = to_lab(source), to_lab(target)
    scale = wanted.std(dim=(1, 2)) / given.std(dim=(1, 2)).clamp(min=1e-8)
    centred = given - given.mean(dim=(1, 2))[:, None, None]
    return from_lab(centred * scale[:, None, None] + wanted.mean(dim=(1, 2))[:, None, None]).clamp(-1, 1)


def to_lab(image: Tensor) -> Tensor:
    """[3, H, W] in [-1, 1] -> lαβ in double precision."""
    cones = torch.tensordot(RGB_TO_LMS, ((image.double() + 1) / 2).clamp(min=DARKEST), dims=1)
    return torch.tensordot(LOG_LMS_TO_LAB, cones.log10(), dims=1)


def from_lab(lab: Tensor) -> Tensor:
    """lαβ [3, H, W] -> RGB on the scale where [-1, 1] is a picture; not cut off."""
    cones = 10 ** torch.tensordot(LOG_LMS_TO_LAB.inverse(), lab, dims=1)
    return (torch.tensordot(RGB_TO_LMS.inverse(), cones, dims=1) * 2 - 1).float()
