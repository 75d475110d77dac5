"""Patch-wise contrastive losses (Eqs. 2 and 3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def patch_nce(query: Tensor, key: Tensor, temperature: float) -> Tensor:
    """Contrast each patch with the others of its image (Eq. 2).

    query, key: [B, P, C], L2-normalised; no gradient flows into `key`.
    Returns a scalar. Raises ValueError if the shapes differ.
    """
    if query.shape != key.shape:
        raise ValueError(f"query {tuple(query.shape)} and key {tuple(key.shape)} differ")
    logits = torch.bmm(query.float(), key.detach().float().transpose(1, 2)) / temperature  # [B, P, P]
    target = torch.arange(query.shape[1], device=query.device).expand(query.shape[0], -1)
    return F.cross_entropy(logits.flatten(0, 1), target.flatten())


def multiscale_patch_nce(queries: Sequence[Tensor], keys: Sequence[Tensor], temperature: float) -> Tensor:
    """The mean over the feature maps (Eq. 3; the authors' code averages where the paper sums)."""
    losses = [patch_nce(q, k, temperature) for q, k in zip(queries, keys, strict=True)]
    return torch.stack(losses).mean()
