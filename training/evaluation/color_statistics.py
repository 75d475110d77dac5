"""Statistics of an image's colors and gradients: what a probe sees that knows nothing of things."""

from __future__ import annotations

import torch
from numpy.typing import NDArray
from torch import Tensor

LIGHTNESS_EDGES = tuple(step / 8 for step in range(9))
OPPONENT_EDGES = (-1.0, -0.2, -0.1, -0.05, 0.0, 0.05, 0.1, 0.2, 1.0)
GRADIENT_EDGES = (0.0, 0.01, 0.03, 0.06, 0.12, 2.0)
GRADIENT_SCALES = (1, 2, 4)
_LEAST = 1e-4


def color_statistics(images: Tensor) -> NDArray:
    """[B, 3, H, W] in [-1, 1] -> [B, 104].

    Of the upper and of the lower half: mean, deviation and histogram of lightness, red - green and yellow - blue, and
    the mean chroma. Of the lightness at three scales, across and down: mean, deviation and histogram of the absolute
    gradients. Histograms are square roots of shares, means and deviations of gradients logarithms.
    """
    red, green, blue = ((images.float() + 1) / 2).unbind(1)
    lightness, red_green, yellow_blue = (red + green + blue) / 3, red - green, (red + green) / 2 - blue
    chroma = (red_green.square() + yellow_blue.square()).sqrt()
    middle = images.shape[2] // 2
    found: list[Tensor] = []
    for half in (slice(0, middle), slice(middle, None)):
        for values, edges in (
            (lightness, LIGHTNESS_EDGES),
            (red_green, OPPONENT_EDGES),
            (yellow_blue, OPPONENT_EDGES),
        ):
            part = values[:, half].flatten(1)
            found += [part.mean(1)[:, None], part.std(1)[:, None], _histogram(part, edges)]
        found.append(chroma[:, half].flatten(1).mean(1)[:, None])
    for scale in GRADIENT_SCALES:
        small = torch.nn.functional.avg_pool2d(lightness[:, None], scale)[:, 0]
        for axis in (2, 1):
            steps = small.diff(dim=axis).abs().flatten(1)
            logs = [(each + _LEAST).log()[:, None] for each in (steps.mean(1), steps.std(1))]
            found += [*logs, _histogram(steps, GRADIENT_EDGES)]
    return torch.cat(found, dim=1).numpy()


def _histogram(values: Tensor, edges: tuple[float, ...]) -> Tensor:
    """[B, N] -> [B, bins]: square roots of the shares."""
    inner = torch.tensor(edges[1:-1])
    bins = torch.bucketize(values.contiguous(), inner, right=True)
    return torch.nn.functional.one_hot(bins, len(edges) - 1).float().mean(dim=1).sqrt()
