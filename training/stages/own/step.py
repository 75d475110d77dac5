"""One training step: the discriminators learn, then the generator and the patch projector."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from training.config import TrainingConfig
from training.models.own.networks import Networks
from training.models.own.running_norm import running_norms, take_statistics
from training.models.spectrogram import align_to_picture
from training.stages.own.objective import Stylization, discriminator_losses, generator_losses, look
from training.stages.own.slices import Part
from training.stages.update import average_over_processes, collect_gradients, update

ALIKE_COSINE = 0.5  # sounds closer than this are not taken for a mismatch


@dataclass
class Optimizers:
    generator: torch.optim.Optimizer
    discriminator: torch.optim.Optimizer


def make_optimizers(networks: Networks, config: TrainingConfig) -> Optimizers:
    """Adam for both sides; `scale` in a group is what the run's rate is multiplied by for it."""
    graded = {id(p) for name, p in networks.named_parameters() if ".grade." in name}
    learned = networks.learned_by_generator()
    groups: list[dict[str, Any]] = [
        {"params": [p for p in learned if id(p) not in graded], "scale": 1.0},
        {"params": [p for p in learned if id(p) in graded], "scale": config.grade_rate},
    ]
    return Optimizers(
        torch.optim.Adam([group for group in groups if group["params"]], config.learning_rate, config.betas),
        torch.optim.Adam(networks.learned_by_discriminator(), config.discriminator_learning_rate, config.betas),
    )


def train_step(
    networks: Networks,
    optimizers: Optimizers,
    batch: dict[str, Tensor],
    config: TrainingConfig,
    step: int,
    rng: torch.Generator,
) -> dict[str, float]:
    """Learn from one batch, in `config.accumulate` slices; returns the losses by name. Raises DivergedError.

    batch: `source`, `target` [B, 3, H, W] in [-1, 1]; `waveform` [B, N]. The waveform occurs with the target, and
    `source_waveform` (for the cycle only) with the source. `condition`: what the preset has in the sound's place.
    rng: for the places of NCE, shifts and mixes, seeded by the step.
    """
    autocast = torch.autocast(batch["source"].device.type, torch.bfloat16, enabled=config.bf16)
    with autocast:
        whole, encoded = _hear(networks, batch, config, rng)
    parts = whole.split(config.accumulate)
    sliced = len(parts) > 1
    said: dict[str, list[Tensor]] = defaultdict(list)

    # The discriminators. Slices are stylized here and again for the generator: one slice's activations are kept at once
    networks.discriminator.requires_grad_(True)
    optimizers.discriminator.zero_grad(set_to_none=True)
    pictured: list[Tensor] = []
    for part in parts:
        with torch.set_grad_enabled(not sliced), autocast:
            made = _stylize(networks, part, config)
        with autocast:
            losses = discriminator_losses(networks, part, made, config)
        collect_gradients(losses, len(parts), step)
        for name, loss in losses.items():
            said[f"discriminator/{name}"].append(loss.detach())
        if made.pictured is not None:
            pictured.append(made.pictured.detach())
    norms = {"gradient/discriminator": update(optimizers.discriminator, config, step)}

    # The generator (Eq. 4 and what was added to it)
    networks.discriminator.requires_grad_(False)
    optimizers.generator.zero_grad(set_to_none=True)
    for part in parts:
        with autocast:
            if sliced:
                made = _stylize(networks, part, config)
            losses = generator_losses(networks, part, made, pictured, config, step)
        collect_gradients(losses, len(parts), step)
        for name, loss in losses.items():
            said[f"generator/{name}"].append(loss.detach())
        if made.mask is not None:
            said["mask"].append(made.mask.detach().mean())
    reached = [(output, leaf.grad) for output, leaf in encoded if leaf.grad is not None]
    if reached:
        torch.autograd.backward([output for output, _ in reached], [gradient for _, gradient in reached])
    norms["gradient/generator"] = update(optimizers.generator, config, step)

    # The generator's norms: all processes go on with the same statistics
    running = running_norms(networks)
    average_over_processes([norm.noted for norm in running])
    take_statistics(running)
    return {**{name: torch.stack(values).mean().item() for name, values in said.items()}, **norms}


def _hear(
    networks: Networks, batch: dict[str, Tensor], config: TrainingConfig, rng: torch.Generator
) -> tuple[Part, list[tuple[Tensor, Tensor]]]:
    """The batch with its sounds encoded and its randomness drawn.

    And for each encoded sound the encoder's output, and the leaf of the same value whose gradient the slices collect.
    """
    source, device = batch["source"], batch["source"].device
    encoded = []

    def leaf(output: Tensor) -> Tensor:
        encoded.append((output, output.detach().requires_grad_(output.requires_grad)))
        return encoded[-1][1]

    output = networks.audio_encoder(batch["waveform"])  # [B, E]
    heard, embedding = leaf(output), leaf(networks.conditioner(output, batch.get("condition")))
    has_way_back = networks.back_generator is not None
    direction = F.normalize(heard.detach().float(), dim=-1)
    partner = torch.roll(direction, 1, 0)
    spectrogram = _aligned_spectrogram(networks, batch["waveform"], config, source.shape[-1])
    noise = config.discriminator.feature_noise
    part = Part(
        source=source,
        target=batch["target"],
        heard=heard,
        embedding=embedding,
        direction=direction,
        partner=partner,
        mismatched=((direction * partner).sum(dim=1) < ALIKE_COSINE).float(),
        spectrogram=spectrogram,
        partner_spectrogram=None if spectrogram is None else torch.roll(spectrogram, 1, 0),
        partner_embedding=torch.roll(embedding.detach(), 1, 0),
        source_embedding=leaf(networks.audio_encoder(batch["source_waveform"])) if has_way_back else None,
        roll=int(torch.randint(64 * 64, (), generator=rng)),
        offsets=(torch.rand(len(source), 2, generator=rng) * 2 - 1).to(device) * source.shape[-1] / 8,
        noise=noise * torch.randn(len(source), 2, *source.shape[1:], generator=rng).to(device) if noise else None,
        mix_weight=torch.rand(len(source), 1, generator=rng).to(device),
        places_seed=int(torch.randint(2**62, (), generator=rng)),
    )
    return part, encoded


def _stylize(networks: Networks, part: Part, config: TrainingConfig) -> Stylization:
    generator = networks.generator
    features, source_maps = generator.encoder.features(part.source)
    content = generator.encoder.content(features, part.source, part.roll)
    image, mask = generator.decoder.outputs(content, part.embedding)  # [b, 3, H, W]
    seen = look(networks, image, part, 0)
    pictured = None
    if config.losses.correspondence and networks.image_tower is not None:
        assert seen.maps is not None
        pictured = networks.image_tower([m.float() for m in seen.maps])
    return Stylization(image, mask, content, source_maps, seen, pictured)


def _aligned_spectrogram(networks: Networks, waveform: Tensor, config: TrainingConfig, size: int) -> Tensor | None:
    if config.discriminator.conditioning == "projection":
        return None
    with torch.no_grad():
        spectrogram = networks.audio_encoder.spectrogram(waveform)
        return align_to_picture(spectrogram, size, size, crop=not config.audio.level_preserving)
