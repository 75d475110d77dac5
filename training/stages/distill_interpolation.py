"""Distillation of mixes: the decoder learns that a mix's image lies between those of its parts, without discriminators.

While it learns from discriminators it draws what they like for every embedding, and leaves the one clip's image by a
way that does not lead to the other's. The model that it was is the teacher: its images of two clips, blended, are what
a mixed embedding is to give.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from training.data.dataset import Batch, batches
from training.losses.contrastive import between
from training.stages.stage import Run, Stage, falling_rate, set_rate

LEARNING_RATE = 2e-4
Decode = Callable[[Tensor, Tensor], Tensor]


class InterpolationDistillation(Stage):
    """Works on the averaged weights: they are what is evaluated and exported."""

    name = "interpolation distillation"
    budget_share = 0.05

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.decoder = run.average.generator.decoder
        self.teacher = copy.deepcopy(self.decoder).eval().requires_grad_(False)
        self.decoder.requires_grad_(True)
        self.optimizers = {"decoder": torch.optim.Adam(self.decoder.parameters(), LEARNING_RATE)}

    @property
    def steps(self) -> int:
        return int(self.run.config.distillation_steps)

    def batches(self, first: int, share_at: Callable[[int], float]) -> Iterator[Batch]:
        size = self.run.config.batch  # every process takes the whole batch: the stage is short
        return iter(batches(self.run.dataset, size, first * size, 2**62, 0, 1, lambda image: 1.0))

    def step(self, number: int, batch: Batch, share: float) -> Mapping[str, Tensor]:
        run = self.run
        set_rate(self.optimizers["decoder"], falling_rate(LEARNING_RATE, 0.0, share))
        weight = torch.rand(len(batch["source"]), 1, generator=run.rng(number, shared=True)).to(run.device)
        with run.precision.autocast():
            with torch.no_grad():
                content = run.average.generator.encoder(batch["source"])
                own = run.average.embed(batch["waveform"], batch.get("condition"))
            losses = mix_losses(self.decoder, self.teacher, content, own, own.roll(1, 0), weight)
        self.optimizers["decoder"].zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        self.optimizers["decoder"].step()
        return {f"image, {name}": 127.5 * loss.detach() for name, loss in losses.items()}  # of 255

    def end(self) -> None:
        self.decoder.requires_grad_(False)

    def extra(self) -> dict[str, Any]:
        return {"teacher": self.teacher.state_dict()}

    def restore_extra(self, values: dict[str, Any]) -> None:
        self.teacher.load_state_dict(values["teacher"])


def mix_losses(
    decoder: Decode, teacher: Decode, content: Tensor, own: Tensor, other: Tensor, weight: Tensor
) -> dict[str, Tensor]:
    """How far the decoder's images are from the teacher's, for whole clips and for mixes (mean absolute difference).

    content: [B, C, h, w]; own, other: [B, E], of which the other is made as loud as the own; weight: [B, 1], the own's.
    """
    length = own.norm(dim=1, keepdim=True)
    own, other = F.normalize(own, dim=-1), F.normalize(other, dim=-1)
    with torch.no_grad():
        first, second = (teacher(content, length * direction).float() for direction in (own, other))
    kept = decoder(content, length * own).float()
    mixed = decoder(content, length * between(own, other, weight)).float()
    share = weight[:, :, None, None]
    return {"kept": F.l1_loss(kept, first), "mix": F.l1_loss(mixed, share * first + (1 - share) * second)}
