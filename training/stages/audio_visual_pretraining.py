"""The first stage: train the correspondence net, whose sound tower becomes the frozen audio encoder."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from training.config import TrainingConfig
from training.data import media
from training.data.dataset import CoOccurrences
from training.models.backbone import Backbone, pooled
from training.models.image_tower import between, contrast, mixed_targets
from training.models.own.audio_encoder import AudioEncoder
from training.models.own.networks import Networks

VIEWS = 4  # augmented views of every photograph
LEAST_SHARE = 0.12  # of a sound in a mix (18 dB below the other): a recording's own hiss is not rain


def train_correspondence(
    networks: Networks, dataset: CoOccurrences, config: TrainingConfig, device: torch.device
) -> dict[str, float]:
    """Pull pictures and sounds that occur together to one direction, and mixed sounds between their parts.

    Contrast over the pairs of a batch (InfoNCE). Half of the sounds of each batch are mixed with another's; their
    target is the point between the two directions, so that f of a mix moves evenly with its weights.
    Returns the last losses and the share of held-in retrievals among the same sound file's pictures.
    """
    settings, tower = config.correspondence, networks.image_tower
    assert tower is not None, "the preset has no correspondence net"
    encoder = networks.audio_encoder
    encoder.requires_grad_(True)
    tower.requires_grad_(True)
    encoder.train()
    tower.train()
    rng = torch.Generator().manual_seed(config.seed)
    images = sorted({p.image for p in dataset.pairs})
    number = {path: i for i, path in enumerate(images)}
    views = _picture_features(dataset, networks.backbone, images, device)  # [images, VIEWS, D]
    parameters = [*encoder.parameters(), *tower.parameters()]
    optimizer = torch.optim.AdamW([p for p in parameters if p.requires_grad], settings.learning_rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.steps)
    said = {}
    progress = tqdm(range(settings.steps), desc="correspondence", unit="step")
    for step in progress:
        pairs, waveforms = dataset.draw_sounds(settings.batch, step)
        view = torch.randint(VIEWS, (len(pairs),), generator=rng)
        picture = tower.from_pooled(views[torch.tensor([number[p.image] for p in pairs]), view].to(device))
        waveform = augmented(waveforms, config.audio.sample_rate_hz, rng).to(
            device
        )  # every one at one level: mixes are by loudness
        weight = torch.rand(len(pairs), generator=rng).to(device)
        partner = torch.randperm(len(pairs), generator=rng).to(device)
        mixed = weight[:, None] * waveform + (1 - weight)[:, None] * waveform[partner]
        with torch.autocast(device.type, torch.bfloat16, enabled=config.bf16):
            sounds = encoder.direction(torch.cat([waveform, mixed])).float()
        pure, mixture = sounds.chunk(2)
        one = torch.ones_like(weight)
        loss_pair = contrast(picture, pure, mixed_targets(one, partner), settings.temperature)
        goal = between(pure.detach(), pure.detach()[partner], weight[:, None])
        loss_mix = (1 - (mixture * goal).sum(dim=1)).mean()
        loss = loss_pair + 2 * loss_mix
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        best = (pure @ picture.T).argmax(dim=1).tolist()
        retrieved = sum(pairs[i].scene == pairs[j].scene for i, j in enumerate(best)) / len(best)
        said = {"pair": loss_pair.item(), "mix": loss_mix.item(), "retrieved": retrieved}
        progress.set_postfix({k: f"{v:.3f}" for k, v in said.items()})
    encoder.requires_grad_(False).eval()
    tower.requires_grad_(False).eval()
    return said


def even_out_mixes(
    encoder: AudioEncoder, dataset: CoOccurrences, config: TrainingConfig, device: torch.device
) -> dict[str, float]:
    """Teach the sound tower alone that a mix lies between its parts: whole sounds keep the direction that they had.

    After the contrast it takes nearly every mix for the louder of its parts. And what it hears through any microphone
    gets the direction of the sound as recorded, else a strange recording would lie between the scenes, like a mix.
    Its batch statistics stay as they are, so that a direction depends on nothing else in the batch. Returns the last
    losses (1 - cosine).
    """
    settings = config.correspondence
    teacher = copy.deepcopy(encoder).eval().requires_grad_(False)
    encoder.eval().requires_grad_(True)
    rng = torch.Generator().manual_seed(config.seed + 1)
    optimizer = torch.optim.AdamW(encoder.parameters(), settings.learning_rate / 2, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.mix_steps)
    said = {}
    progress = tqdm(range(settings.mix_steps), desc="mixes", unit="step")
    for step in progress:
        _, waveforms = dataset.draw_sounds(settings.batch, settings.steps + step)
        waveform = augmented(waveforms, config.audio.sample_rate_hz, rng).to(device)
        weight = LEAST_SHARE + (1 - 2 * LEAST_SHARE) * torch.rand(len(waveform), 1, generator=rng).to(device)
        partner = torch.randperm(len(waveform), generator=rng).to(device)
        mixed = weight * waveform + (1 - weight) * waveform[partner]
        with torch.autocast(device.type, torch.bfloat16, enabled=config.bf16):
            with torch.no_grad():
                whole = teacher.direction(at_one_level(waveforms).to(device)).float()
            kept, mixture = encoder.direction(torch.cat([waveform, mixed])).float().chunk(2)
        loss_kept = (1 - (kept * whole).sum(dim=1)).mean()
        loss_mix = (1 - (mixture * between(whole, whole[partner], weight)).sum(dim=1)).mean()
        loss = loss_kept + loss_mix
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        said = {"kept": loss_kept.item(), "mix": loss_mix.item()}
        progress.set_postfix({k: f"{v:.3f}" for k, v in said.items()})
    encoder.requires_grad_(False)
    return said


@torch.no_grad()
def _picture_features(dataset: CoOccurrences, backbone: Backbone, images: list[Path], device: torch.device) -> Tensor:
    """Pooled features of augmented views of every photograph, computed once: [images, VIEWS, D]."""
    features = []
    for number, path in enumerate(tqdm(images, desc="looking at the photographs", unit="image")):
        views = torch.stack([dataset.view(path, 128, number * VIEWS + view) for view in range(VIEWS)])
        features.append(pooled(backbone(views.to(device))).cpu())
    return torch.stack(features)


def augmented(waveforms: Tensor, sample_rate_hz: int, rng: torch.Generator) -> Tensor:
    """Another microphone and another place, one level: [B, N] -> [B, N] at -20 dBFS.

    A random smooth equalisation of about 6 dB, a pass band that begins anywhere below 1.5 kHz and ends anywhere above 3
    kHz (12 dB an octave), and white noise 15 to 50 dB below: few recordings must stand for all.
    """
    batch, samples = waveforms.shape
    spectrum = torch.fft.rfft(waveforms)
    curve = torch.randn(batch, 1, 8, generator=rng) * 6
    gains = F.interpolate(curve, size=spectrum.shape[1], mode="linear", align_corners=True)[:, 0]
    hertz = torch.linspace(0, sample_rate_hz / 2, spectrum.shape[1])
    gains = gains + _pass_band_db(batch, hertz, rng)
    colored = torch.fft.irfft(spectrum * 10 ** (gains / 20), n=samples)
    colored = at_one_level(colored)
    below = 15 + 35 * torch.rand(batch, 1, generator=rng)
    noise = torch.randn(batch, samples, generator=rng) * 0.1 * 10 ** (-below / 20)
    return colored + noise


def at_one_level(waveforms: Tensor) -> Tensor:
    """[B, N] at -20 dBFS, one by one."""
    return torch.stack([media.at_level(waveform, -20.0) for waveform in waveforms])


def _pass_band_db(batch: int, hertz: Tensor, rng: torch.Generator) -> Tensor:
    """[batch, bins]: second-order slopes below and above a band whose ends are drawn."""
    hertz = hertz.clamp(min=1.0)
    low = 20 * (1_500 / 20) ** torch.rand(batch, 1, generator=rng)
    high = 3_000 * (20_000 / 3_000) ** torch.rand(batch, 1, generator=rng)
    return -10 * (torch.log10(1 + (low / hertz) ** 4) + torch.log10(1 + (hertz / high) ** 4))
