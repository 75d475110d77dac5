"""Teach a trained model that a mix of sounds looks like a mix: by itself, without discriminators."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from training import checkpoint
from training.config import TrainingConfig
from training.data.conditions import load_conditions
from training.data.dataset import CoOccurrences, batches
from training.evaluation.inference import Stylizer
from training.models.average import Average
from training.models.image_tower import between

LEARNING_RATE = 2e-4
Decode = Callable[[Tensor, Tensor], Tensor]


def even_mixes(path: Path, output: Path, index: Path, steps: int) -> dict[str, float]:
    """Write `output`, the checkpoint `path` with even mixes, in the form that ships. Returns the last losses.

    Raises CheckpointError and PairingError.
    """
    model = Stylizer(path)
    config, device = model.config, torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dataset = CoOccurrences(index, "train", config.data, config.audio, config.seed, load_conditions(config, index))
    average = model.average.to(device)
    said = even_out_pictures(average, dataset, config, device, steps)
    values = checkpoint.load(path)
    networks = {**values["networks"], **values["ema"], **average.cpu().state_dict()}
    checkpoint.save(output, checkpoint.slim({**values, "networks": networks, "ema": {}}))
    return said


def even_out_pictures(
    average: Average, dataset: CoOccurrences, config: TrainingConfig, device: torch.device, steps: int
) -> dict[str, float]:
    """Teach the decoder alone that the picture of a mix lies between those of its parts, which it goes on to draw.

    The model that it was is the teacher: its pictures of two sounds, blended, are what a mixed embedding is to give.
    While it learns from discriminators it draws what they like for every embedding, and leaves the one sound's picture
    by a way that does not lead to the other's. Returns the last losses (mean absolute difference, of 255).
    """
    decoder = average.generator.decoder
    teacher = copy.deepcopy(decoder)
    decoder.requires_grad_(True)
    optimizer = torch.optim.Adam(decoder.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    rng = torch.Generator().manual_seed(config.seed + 2)
    said = {}
    progress = tqdm(
        batches(dataset, config.batch, 0, steps * config.batch, 0, 1), total=steps, desc="pictures", unit="step"
    )
    for drawn in progress:
        batch = {name: values.to(device) for name, values in drawn.items()}
        weight = torch.rand(config.batch, 1, generator=rng).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=config.bf16):
            with torch.no_grad():
                content = average.generator.encoder(batch["source"])
                own = average.embed(batch["waveform"], batch.get("condition"))
            losses = mix_losses(decoder, teacher, content, own, own.roll(1, 0), weight)
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
        schedule.step()
        said = {f"picture, {name}": 127.5 * loss.item() for name, loss in losses.items()}
        progress.set_postfix({name: f"{value:.2f}" for name, value in said.items()})
    decoder.requires_grad_(False)
    return said


def mix_losses(
    decoder: Decode, teacher: Decode, content: Tensor, own: Tensor, other: Tensor, weight: Tensor
) -> dict[str, Tensor]:
    """How far the decoder's pictures are from the teacher's, for whole sounds and for mixes (mean absolute difference).

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
