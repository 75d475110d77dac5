"""The second stage: the discriminators learn from real pairs alone which pictures a sound goes with.

A generator that starts out by leaving pictures alone meets discriminators that cannot yet tell the scenes apart, and
learns tricks on them instead of looks. A few minutes of real matched against real mismatched pairs come first.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from training.config import TrainingConfig
from training.data.dataset import CoOccurrences, crop_at
from training.losses.terms import lsgan
from training.models.own.networks import Networks
from training.models.spectrogram import align_to_picture
from training.stages.own.objective import Seen, judges
from training.stages.own.step import ALIKE_COSINE

WINDOWS = 128  # sounds are encoded once


def warm_up_discriminators(
    networks: Networks, dataset: CoOccurrences, config: TrainingConfig, device: torch.device
) -> float:
    """Train the discriminators for `warmup_steps`; returns the mean loss of the last quarter (chance: 0.25)."""
    networks.train()
    optimizer = torch.optim.Adam(networks.learned_by_discriminator(), config.discriminator_learning_rate, config.betas)
    rng = torch.Generator().manual_seed(config.seed)
    crop = crop_at(config.data, 0.0)
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=config.bf16)
    pairs, waveforms = dataset.draw_sounds(WINDOWS, -1 % 2**31)
    # A copy: an encoder that still learns hears by the statistics of the batch, as in a step, and would keep them.
    encoder = copy.deepcopy(networks.audio_encoder)
    with torch.no_grad(), autocast:
        directions = torch.cat([encoder(w.to(device)) for w in waveforms.split(8)]).float()
    directions = F.normalize(directions, dim=-1)
    losses: list[float] = []
    progress = tqdm(range(config.warmup_steps), desc="discriminators", unit="step")
    for step in progress:
        chosen = torch.randint(WINDOWS, (config.warmup_batch,), generator=rng)
        draws = [
            dataset.view(dataset.picture_like(pairs[i], step), crop, step * 1000 + k) for k, i in enumerate(chosen)
        ]
        image, direction = torch.stack(draws).to(device), directions[chosen]
        spectrogram = None
        with autocast:
            if config.discriminator.conditioning != "projection":
                with torch.no_grad():
                    magnitude = networks.audio_encoder.spectrogram(waveforms[chosen].to(device))
                    spectrogram = align_to_picture(magnitude, crop, crop, crop=not config.audio.level_preserving)
            maps = None
            if networks.feature_discriminator is not None:
                noise = torch.randn(image.shape, generator=rng).to(device) * config.discriminator.feature_noise
                with torch.no_grad():
                    maps = list(networks.backbone(image + noise))
            seen = Seen(image, maps)
            total = image.new_zeros(())
            for _, judge in judges(networks, config):
                wrong_losses = []
                for roll in (1, 2, 3):
                    wrong = direction.roll(roll, 0)
                    differs = ((direction * wrong).sum(dim=1) < ALIKE_COSINE).float()
                    wrong_spectrogram = None if spectrogram is None else spectrogram.roll(roll, 0)
                    wrong_losses.append(lsgan(judge(seen, wrong_spectrogram, wrong), False, differs))
                matched = lsgan(judge(seen, spectrogram, direction), True)
                total = total + (matched + torch.stack(wrong_losses).mean()) / 2
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        optimizer.step()
        losses.append(total.item() / len(judges(networks, config)))
        progress.set_postfix(loss=f"{np.mean(losses[-50:]):.3f}")
    return float(np.mean(losses[-max(1, len(losses) // 4) :]))
