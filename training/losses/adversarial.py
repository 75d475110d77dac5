"""Least-squares adversarial losses (Eq. 1 with LSGAN's squares; App. A.2)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def lsgan(scores: Tensor | Sequence[Tensor], real: bool, weight: Tensor | None = None) -> Tensor:
    """Least-squares GAN loss against 1 (real) or 0, averaged over maps (Mao et al. 2017).

    weight: [B], a picture's share (0 leaves it out); the mean is over the pictures that count.
    """
    maps = [scores] if isinstance(scores, Tensor) else list(scores)
    total = maps[0].new_zeros(())
    for scored in maps:
        per_image = (scored.float() - float(real)).square().flatten(1).mean(dim=1)
        if weight is None:
            total = total + per_image.mean()
        else:
            total = total + (per_image * weight).sum() / weight.sum().clamp(min=1.0)
    return total / len(maps)
