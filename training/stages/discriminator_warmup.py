"""Discriminator warm-up: the discriminators learn from real pairs alone which images an audio clip goes with.

A generator that starts out by leaving images alone meets discriminators that cannot yet tell the scenes apart, and
learns tricks on them instead. A few minutes of real matched against real mismatched pairs come first.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from training.data.dataset import Batch, Unreadable, crop_at
from training.losses.adversarial import lsgan
from training.models.networks import trainable
from training.stages.own.objective import DiscriminatorInput, judges
from training.stages.own.slices import ALIKE_COSINE
from training.stages.stage import Run, Stage, set_rate

WINDOWS = 128  # clips are encoded once
ROLLS = (1, 2, 3)  # the mismatched clips of a pair are those of so many of the batch's next


class DiscriminatorWarmup(Stage):
    """For models whose discriminators judge an embedding's direction."""

    name = "discriminator warm-up"
    budget_share = 0.05

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        run.networks.train()
        config = run.config
        learned = trainable(*run.networks.discriminators())
        self.optimizers = {"discriminator": torch.optim.Adam(learned, config.discriminator_learning_rate, config.betas)}
        self.pairs, waveforms = run.dataset.draw_sounds(WINDOWS, -1 % 2**31)
        with torch.no_grad(), run.precision.autocast():
            encoded = [run.networks.audio_encoder(w.to(run.device)) for w in waveforms.split(8)]
        self.directions = F.normalize(torch.cat(encoded).float(), dim=-1)

    @property
    def steps(self) -> int:
        return int(self.run.config.warmup_steps)

    def step(self, number: int, batch: Batch, share: float) -> Mapping[str, Tensor]:
        run, config, n = self.run, self.run.config, self.run.networks
        set_rate(self.optimizers["discriminator"], config.discriminator_learning_rate)
        rng = run.rng(number, shared=True)
        crop = crop_at(config.data, 0.0)
        chosen, views = [], []
        for place, one in enumerate(torch.randint(WINDOWS, (config.warmup_batch,), generator=rng).tolist()):
            try:
                path = run.dataset.image_like(self.pairs[one], number)
                views.append(run.dataset.view(path, crop, number * 1000 + place))
                chosen.append(one)
            except Unreadable:
                continue
        image, direction = torch.stack(views).to(run.device), self.directions[chosen]
        with run.precision.autocast():
            noise = torch.randn(image.shape, generator=rng).to(run.device) * config.discriminator.feature_noise
            with torch.no_grad():
                maps = list(n.backbone(image + noise))
            seen = DiscriminatorInput(image, maps)
            losses = []
            for judge in judges(n).values():
                wrong_losses = []
                for roll in ROLLS:
                    wrong = direction.roll(roll, 0)
                    differs = ((direction * wrong).sum(dim=1) < ALIKE_COSINE).float()
                    wrong_losses.append(lsgan(judge(seen, wrong), False, differs))
                losses.append((lsgan(judge(seen, direction), True) + torch.stack(wrong_losses).mean()) / 2)
        total = torch.stack(losses).sum()
        self.optimizers["discriminator"].zero_grad(set_to_none=True)
        total.backward()
        self.optimizers["discriminator"].step()
        return {"loss": total.detach() / len(losses)}  # chance: 0.25
