"""What a step sees, and how it is cut: sounds are encoded and randomness is drawn for the whole batch, before.

So a slice meets the mismatched sounds, the mixes and the patches that it would meet in the batch, and the slices'
gradients add up to the batch's (where rounding allows). Only pictures are worked through slice by slice.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Part:
    """A whole batch, or a slice of it, of b pictures."""

    source: Tensor  # [b, 3, H, W] in [-1, 1]
    target: Tensor  # [b, 3, H, W] in [-1, 1], occurs with the sound
    heard: Tensor  # [b, E], the sound's embedding
    embedding: Tensor  # [b, E], what the generator is told: the same, or a word's or a picture's in its place
    direction: Tensor  # [b, E], the sound's, of length 1, without gradient
    partner: Tensor  # [b, E], the direction of the batch's next sound
    mismatched: Tensor  # [b], 1 where the partner is another sound, 0 where it is much the same
    spectrogram: Tensor | None  # [b, 3, H, W], aligned to the picture
    partner_spectrogram: Tensor | None
    partner_embedding: Tensor  # [b, E], what the generator is told for the batch's next sound, without gradient
    source_embedding: Tensor | None  # [b, E], of the sound that occurs with the source (for the cycle)
    offsets: Tensor  # [b, 2], by how many pixels what the discriminators see is moved
    noise: Tensor | None  # [b, 2, 3, H, W], on what the frozen features see of the stylization and of the target
    mix_weight: Tensor  # [b, 1], of the own direction in a mix with the partner's
    roll: int  # of the field of streaks
    places_seed: int  # of the patches that NCE compares
    first: int = 0  # which picture of the batch is its first
    whole: Part | None = None  # None: this is the batch

    @property
    def batch(self) -> Part:
        return self if self.whole is None else self.whole

    @property
    def mismatched_share(self) -> Tensor:
        """By what the slice's mean over mismatched pairs is multiplied so that the mean over slices is the batch's."""
        here, all_of_them = (part.mismatched.sum().clamp(min=1.0) for part in (self, self.batch))
        return here / all_of_them * (len(self.batch.source) / len(self.source))

    def split(self, slices: int) -> list[Part]:
        """Into as many slices of equal size. Raises ValueError if that cannot be."""
        if len(self.source) % slices:
            raise ValueError(f"{len(self.source)} pictures cannot be worked through in {slices} slices of equal size")
        size = len(self.source) // slices
        return [self._cut(first, size) for first in range(0, len(self.source), size)]

    def _cut(self, first: int, size: int) -> Part:
        values: dict[str, Any] = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        cut: dict[str, Any] = {k: v[first : first + size] for k, v in values.items() if isinstance(v, Tensor)}
        return Part(**{**values, **cut, "first": first, "whole": self})


def among_all(batch: Tensor, own: Tensor, first: int) -> Tensor:
    """The batch's rows [B, ...], those of a slice `own` [b, ...] from `first` on with gradient, the others without.

    A loss over all rows has the batch's value in every slice; the slice's rows are B / b times as steep, so that the
    mean of the slices' gradients is the gradient of the batch.
    """
    steepness = len(batch) / len(own)
    steep = steepness * own + (1 - steepness) * own.detach()
    return torch.cat([batch[:first].detach(), steep, batch[first + len(own) :].detach()])
