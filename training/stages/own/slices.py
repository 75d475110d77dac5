"""What a step of our own model sees, and how it is cut: randomness is drawn for the whole batch, before.

So a slice meets the mismatched clips, the mixes and the patches that it would meet in the batch, and the slices'
gradients add up to the batch's (where rounding allows). Only images are worked through slice by slice.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

ALIKE_COSINE = 0.5  # clips closer than this are not taken for a mismatch


@dataclass(frozen=True)
class TrainingBatch:
    """A whole batch, or a slice of it, of b images."""

    source: Tensor  # [b, 3, H, W] in [-1, 1]
    target: Tensor  # [b, 3, H, W] in [-1, 1], occurs with the audio
    embedding: Tensor  # [b, E]
    direction: Tensor  # [b, E], the embedding's, of length 1
    partner: Tensor  # [b, E], the direction of the batch's next clip
    mismatched: Tensor  # [b], 1 where the partner is another clip, 0 where it is much the same
    offsets: Tensor  # [b, 2], by how many pixels what the discriminators see is moved
    noise: Tensor | None  # [b, 2, 3, H, W], on what the frozen features see of the stylization and of the target
    mix_weight: Tensor  # [b, 1], of the own direction in a mix with the partner's
    roll: int  # of the field of streaks
    places_seed: int  # of the patches that NCE compares
    first: int = 0  # which image of the batch is its first
    whole: TrainingBatch | None = None  # None: this is the batch

    @property
    def batch(self) -> TrainingBatch:
        return self if self.whole is None else self.whole

    @property
    def mismatched_share(self) -> Tensor:
        """By what the slice's mean over mismatched pairs is multiplied so that the mean over slices is the batch's."""
        here, all_of_them = (part.mismatched.sum().clamp(min=1.0) for part in (self, self.batch))
        return here / all_of_them * (len(self.batch.source) / len(self.source))

    def split(self, slices: int) -> list[TrainingBatch]:
        """Into as many slices of equal size."""
        size = len(self.source) // slices
        return [self._cut(first, size) for first in range(0, len(self.source), size)]

    def _cut(self, first: int, size: int) -> TrainingBatch:
        values: dict[str, Any] = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        cut: dict[str, Any] = {k: v[first : first + size] for k, v in values.items() if isinstance(v, Tensor)}
        return TrainingBatch(**{**values, **cut, "first": first, "whole": self})


def gather_batch_rows(batch: Tensor, own: Tensor, first: int) -> Tensor:
    """The batch's rows [B, ...], those of a slice `own` [b, ...] from `first` on with gradient, the others without.

    A loss over all rows has the batch's value in every slice; the slice's rows are B / b times as steep, so that the
    mean of the slices' gradients is the gradient of the batch.
    """
    steepness = len(batch) / len(own)
    steep = steepness * own + (1 - steepness) * own.detach()
    return torch.cat([batch[:first].detach(), steep, batch[first + len(own) :].detach()])
