"""The Fréchet distance between the features of two sets of pictures: Clean-FID's, and its substitute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.linalg import qr, svdvals
from torch import Tensor, nn

from training.checkpoint import CheckpointError
from training.evaluation.metrics.statistics import Estimate
from training.evaluation.metrics.torchscript import torchscript_allowed
from training.models.backbone import Backbone

INCEPTION_SIDE = 299


@dataclass(frozen=True)
class Gaussian:
    """Mean [D] and a root [R, D] of the covariance: root.T @ root is the covariance."""

    mean: NDArray[np.float64]
    root: NDArray[np.float64]

    @classmethod
    def of(cls, features: NDArray[np.floating]) -> Gaussian:
        """Fitted to features [N, D], N at least 2, with the unbiased covariance. Raises ValueError."""
        if features.ndim != 2 or len(features) < 2:
            raise ValueError("a Fréchet distance needs the features of two pictures at least in each set")
        wide = features.astype(np.float64)
        mean = wide.mean(axis=0)
        root = (wide - mean) / np.sqrt(len(wide) - 1)
        if len(root) > root.shape[1]:  # the same covariance from fewer rows
            root = qr(root, mode="r")[0][: root.shape[1]]
        return cls(mean, root)


def frechet_distance(first: Gaussian, second: Gaussian) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), as FID is (the square of the distance).

    With C = R'R the eigenvalues of C1 C2 are the squared singular values of R1 R2', so the trace of the root is their
    sum: no root of a singular product is taken, and nothing complex arises.
    """
    apart = float(np.square(first.mean - second.mean).sum())
    spread = float(np.square(first.root).sum() + np.square(second.root).sum())
    return max(0.0, apart + spread - 2 * float(svdvals(first.root @ second.root.T).sum()))


def frechet_estimate(
    features: NDArray[np.floating], groups: Sequence[str], reference: Gaussian, rounds: int = 200, seed: int = 0
) -> Estimate:
    """The distance of features [N, D] to the reference, and a bootstrap interval over the groups (videos).

    A draw repeats pictures, which lessens the covariance and so moves the distance of every draw the same way: the
    draws' spread is laid around the distance itself.
    """
    if len(features) != len(groups):
        raise ValueError("one group for each picture is needed")
    found = frechet_distance(Gaussian.of(features), reference)
    names = sorted(set(groups))
    rows = {name: [i for i, group in enumerate(groups) if group == name] for name in names}
    rng = np.random.default_rng(seed)
    draws = []
    for _ in range(rounds):
        chosen = [row for place in rng.integers(len(names), size=len(names)) for row in rows[names[place]]]
        if len(chosen) > 1:
            draws.append(frechet_distance(Gaussian.of(features[chosen]), reference))
    low, high = np.percentile(np.array(draws) - np.mean(draws), [2.5, 97.5])
    return Estimate(found, found + min(0.0, float(low)), found + max(0.0, float(high)))


def sample_warning(name: str, pictures: int, references: int, dimensions: int) -> str | None:
    """What to say where a covariance cannot have full rank; None where there are pictures enough."""
    if min(pictures, references) > dimensions:
        return None
    return (
        f"{name}: {pictures} pictures against {references} photographs for {dimensions} features; with so few it comes "
        "out too high, and only columns with as many pictures compare."
    )


class InceptionFeatures(nn.Module):
    """Pictures [B, 3, H, W] in [-1, 1] -> Clean-FID's features [B, 2048], of the last average pooling.

    The weights are Clean-FID's own TorchScript file (inception-2015-12-05.pt), its `layers` part. TorchScript is code:
    load only a file that you trust.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        if not path.is_file():
            raise CheckpointError(f"there is no Inception file {path}")
        try:
            with torchscript_allowed():
                self.layers = torch.jit.load(str(path), map_location="cpu").eval().layers
        except (RuntimeError, AttributeError) as exc:
            raise CheckpointError(
                f"{path} is not the TorchScript Inception that Clean-FID uses (inception-2015-12-05.pt): {exc}"
            ) from exc

    @torch.no_grad()
    def forward(self, pictures: Tensor) -> Tensor:
        return self.layers((clean_resized(pictures) - 128) / 128).flatten(1)


def clean_resized(pictures: Tensor) -> Tensor:
    """Clean-FID's resizing: [B, 3, H, W] in [-1, 1] -> [B, 3, 299, 299] in about 0..255, not rounded.

    The picture is rounded to 8 bits as a saved file would be; then each channel is resized as floats by Pillow's
    bicubic filter, which widens as it shrinks (antialiasing).
    """
    pixels = ((pictures.float() + 1) * 127.5).round().clamp(0, 255).numpy()
    side = (INCEPTION_SIDE, INCEPTION_SIDE)
    resized = [
        [np.asarray(Image.fromarray(channel).resize(side, Image.Resampling.BICUBIC)) for channel in picture]
        for picture in pixels
    ]
    return torch.from_numpy(np.array(resized, dtype=np.float32))


class EfficientNetFeatures(nn.Module):
    """Pictures [B, 3, H, W] in [-1, 1] -> [B, 320], the mean over space of EfficientNet-Lite0's last feature map."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    @torch.no_grad()
    def forward(self, pictures: Tensor) -> Tensor:
        return self.backbone(pictures)[-1].mean(dim=(2, 3))
