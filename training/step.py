"""One training step: the discriminators learn, then the generator and the patch projector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.config import TrainingConfig
from training.cycle import cycle_losses
from training.losses import excess_saturation, lsgan, multiscale_patch_nce, tone_loss
from training.networks.audio_encoder import AudioEncoder
from training.networks.backbone import Backbone
from training.networks.correspondence import ImageTower, between, contrast
from training.networks.discriminator import PatchDiscriminator
from training.networks.feature_discriminator import FeatureDiscriminator, shifted
from training.networks.generator import Generator
from training.networks.late_fusion import LateFusionDiscriminator
from training.networks.patch_projector import PatchProjector, draw_places
from training.networks.running_norm import running_norms, take_statistics
from training.networks.spectrogram import align_to_picture

ALIKE_COSINE = 0.5  # sounds closer than this are not taken for a mismatch


class DivergedError(RuntimeError):
    """A loss or a gradient went out of bounds; the message names it and the step."""


class Networks(nn.Module):
    """Every network of a run, and the frozen backbone if one of them needs it."""

    def __init__(self, config: TrainingConfig) -> None:
        super().__init__()
        self.audio_encoder = AudioEncoder(config.audio)
        self.generator = Generator(config.generator, config.audio.embedding_dim)
        self.discriminator: PatchDiscriminator | LateFusionDiscriminator = (
            LateFusionDiscriminator(config.discriminator)
            if config.discriminator.conditioning == "late-fusion"
            else PatchDiscriminator(config.discriminator, config.audio.embedding_dim)
        )
        self.projector = PatchProjector(self.generator.nce_channels(), config.losses.projector_width)
        has_features = bool(config.discriminator.feature_width)
        self.feature_discriminator = (
            FeatureDiscriminator(config.discriminator.feature_width, config.audio.embedding_dim)
            if has_features
            else None
        )
        has_tower = bool(config.correspondence.steps)
        self.image_tower = ImageTower(config.correspondence.hidden, config.audio.embedding_dim) if has_tower else None
        has_cycle = bool(config.losses.cycle)
        self.back_generator = Generator(config.generator, config.audio.embedding_dim) if has_cycle else None
        # In a list, so that the backbone's weights are no part of a checkpoint.
        self._backbone = [Backbone()] if has_features or has_tower else []
        self.audio_frozen = has_tower and not config.correspondence.finetuned
        if self.audio_frozen:
            self.audio_encoder.requires_grad_(False)
        if self.image_tower is not None:
            self.image_tower.requires_grad_(False)

    @property
    def backbone(self) -> Backbone:
        return self._backbone[0]

    def train(self, mode: bool = True) -> Networks:
        super().train(mode)
        if self.audio_frozen:
            self.audio_encoder.eval()
        if self.image_tower is not None:
            self.image_tower.eval()
        return self

    def learned_by_generator(self) -> list[nn.Parameter]:
        modules = [self.generator, self.projector] + ([] if self.audio_frozen else [self.audio_encoder])
        modules += [] if self.back_generator is None else [self.back_generator]
        return [p for module in modules for p in module.parameters() if p.requires_grad]

    def learned_by_discriminator(self) -> list[nn.Parameter]:
        modules = [m for m in (self.discriminator, self.feature_discriminator) if m is not None]
        return [p for module in modules for p in module.parameters() if p.requires_grad]


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


@dataclass
class Seen:
    """What the discriminators look at of one batch of pictures."""

    image: Tensor
    maps: list[Tensor] | None

    def detached(self) -> Seen:
        return Seen(self.image.detach(), None if self.maps is None else [m.detach() for m in self.maps])


def train_step(
    networks: Networks,
    optimizers: Optimizers,
    batch: dict[str, Tensor],
    config: TrainingConfig,
    step: int,
    rng: torch.Generator,
) -> dict[str, float]:
    """Learn from one batch; returns the losses by name. Raises DivergedError.

    batch: `source`, `target` [B, 3, H, W] in [-1, 1]; `waveform` [B, N]. The waveform occurs with the target, and
    `source_waveform` (for the cycle only) with the source.
    rng: for the places of NCE, shifts and mixes, seeded by the step.
    """
    weights, source, target = config.losses, batch["source"], batch["target"]
    device = source.device
    generator = networks.generator
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=config.bf16)
    roll = int(torch.randint(64 * 64, (), generator=rng))
    offsets = (torch.rand(len(source), 2, generator=rng) * 2 - 1).to(device) * source.shape[-1] / 8

    # The stylization
    with autocast:
        embedding = networks.audio_encoder(batch["waveform"])  # [B, E]
        direction = F.normalize(embedding.float(), dim=-1)
        features, source_maps = generator.encoder.features(source)
        content = generator.encoder.content(features, source, roll)
        stylized, mask = generator.decoder.outputs(content, embedding)  # [B, 3, H, W]
        spectrogram = _aligned_spectrogram(networks, batch["waveform"], config, source.shape[-1])

    def look(image: Tensor) -> Seen:
        maps = None
        if networks.feature_discriminator is not None or networks.image_tower is not None:
            noise = torch.randn(image.shape, generator=rng).to(device) * config.discriminator.feature_noise
            maps = list(networks.backbone(shifted(image.float(), offsets) + noise))
        return Seen(image, maps)

    with autocast:
        fake = look(stylized)
        with torch.no_grad():
            real = look(target)
        seen_fake = fake.detached()

    # The discriminators
    said = {}
    networks.discriminator.requires_grad_(True)
    with autocast:
        wrong = torch.roll(direction.detach(), 1, 0)
        mismatched = ((direction.detach() * wrong).sum(dim=1) < ALIKE_COSINE).float()
        wrong_spectrogram = None if spectrogram is None else torch.roll(spectrogram, 1, 0)
        d_losses = {}
        for name, judge in judges(networks, config):
            loss = lsgan(judge(real, spectrogram, direction.detach()), True)
            loss_fake = lsgan(judge(seen_fake, spectrogram, direction.detach()), False)
            if config.discriminator.mismatched_pairs:
                loss_wrong = lsgan(judge(real, wrong_spectrogram, wrong), False, mismatched)
                loss_fake = (loss_fake + loss_wrong) / 2
            d_losses[name] = (loss + loss_fake) / 2
    said.update({f"discriminator/{name}": loss.item() for name, loss in d_losses.items()})
    d_total = torch.stack(list(d_losses.values())).sum()
    said["gradient/discriminator"] = _apply(optimizers.discriminator, d_total, config, step)

    # The generator (Eq. 4 and what was added to it)
    networks.discriminator.requires_grad_(False)
    with autocast:
        losses: dict[str, Tensor] = {}
        for name, judge in judges(networks, config):
            weight = weights.patch_gan if name == "patch" else weights.feature_gan
            losses[f"gan_{name}"] = weight * lsgan(judge(fake, spectrogram, direction.detach()), True)
        if weights.nce and step % weights.nce_every == 0:
            scale = weights.nce * weights.nce_every
            losses["nce"] = scale * _nce(networks, stylized, source_maps, config, rng)
        if weights.identity_nce and step % weights.identity_every == 0:
            features, target_maps = generator.encoder.features(target)
            same = generator.decoder(generator.encoder.content(features, target, roll), embedding)
            scale = weights.identity_nce * weights.identity_every
            losses["identity_nce"] = scale * _nce(networks, same, target_maps, config, rng)
        if networks.back_generator is not None:
            own = networks.audio_encoder(batch["source_waveform"])
            same = generator(target, embedding) if weights.identity_l1 else None
            losses.update(cycle_losses(networks.back_generator, weights, source, stylized, own, target, same))
        if weights.correspondence and networks.image_tower is not None:
            assert fake.maps is not None
            seen = networks.image_tower([m.float() for m in fake.maps])
            temperature = config.correspondence.temperature
            agreement = F.softmax(direction @ direction.T / temperature, dim=1).detach()
            losses["correspondence"] = weights.correspondence * contrast(seen, direction, agreement, temperature)
        if weights.tone:
            losses["tone"] = weights.tone * tone_loss(stylized, target)
        if weights.excess_saturation:
            losses["excess_saturation"] = weights.excess_saturation * excess_saturation(stylized, source)
        if weights.mask and mask is not None:
            losses["mask"] = weights.mask * mask.mean()
        if weights.mix and step % weights.mix_every == 0:
            losses["mix"] = weights.mix * _mix_loss(generator, content.detach(), embedding.detach(), stylized, rng)
    said.update({f"generator/{name}": loss.item() for name, loss in losses.items()})
    if mask is not None:
        said["mask"] = mask.mean().item()
    g_total = torch.stack([loss.float() for loss in losses.values()]).sum()
    said["gradient/generator"] = _apply(optimizers.generator, g_total, config, step)
    norms = running_norms(networks)
    _average([norm.noted for norm in norms])  # all processes go on with the same statistics
    take_statistics(norms)
    return said


def _aligned_spectrogram(networks: Networks, waveform: Tensor, config: TrainingConfig, size: int) -> Tensor | None:
    if config.discriminator.conditioning == "projection":
        return None
    with torch.no_grad():
        spectrogram = networks.audio_encoder.spectrogram(waveform)
        return align_to_picture(spectrogram, size, size, crop=not config.audio.level_preserving)


Judge = Callable[[Seen, Tensor | None, Tensor], Tensor | Sequence[Tensor]]


def judges(networks: Networks, config: TrainingConfig) -> list[tuple[str, Judge]]:
    """The discriminators of a run by name, called with what they see, the aligned spectrogram and the direction."""

    def by_patch(seen: Seen, spectrogram: Tensor | None, direction: Tensor) -> Tensor:
        return networks.discriminator(seen.image, spectrogram, direction)

    def by_features(seen: Seen, spectrogram: Tensor | None, direction: Tensor) -> list[Tensor]:
        assert networks.feature_discriminator is not None
        assert seen.maps is not None
        return networks.feature_discriminator(seen.maps, direction)

    found: list[tuple[str, Judge]] = []
    if config.losses.patch_gan:
        found.append(("patch", by_patch))
    if networks.feature_discriminator is not None:
        found.append(("features", by_features))
    return found


def _nce(
    networks: Networks, output: Tensor, keys: list[Tensor], config: TrainingConfig, rng: torch.Generator
) -> Tensor:
    """L_NCE(Genc, P, X): patches of the output against those of what it was made from."""
    _, queries = networks.generator.encoder.features(output.to(keys[0].dtype), nce_only=True)
    if config.generator.norm == "running":  # else more light or a veil over all would count as lost structure
        queries, keys = ([F.instance_norm(features) for features in maps] for maps in (queries, keys))
    places = draw_places(keys, config.losses.nce_patches, rng)
    with torch.no_grad():
        key_patches = networks.projector(keys, places)
    return multiscale_patch_nce(networks.projector(queries, places), key_patches, config.losses.nce_temperature)


def _mix_loss(
    generator: Generator, content: Tensor, embedding: Tensor, stylized: Tensor, rng: torch.Generator
) -> Tensor:
    """The embedding between two sounds' directions gives the picture that lies as far between theirs."""
    length = embedding.norm(dim=-1, keepdim=True)
    direction = embedding / length.clamp(min=1e-6)
    partner = torch.roll(direction, 1, 0)
    weight = torch.rand(len(direction), 1, generator=rng).to(content.device)
    mixed = between(direction, partner, weight) * length
    with torch.no_grad():
        other = generator.decoder(content, partner * length)
        share = weight[:, :, None, None]
        goal = share * stylized.detach().float() + (1 - share) * other.float()
    return F.l1_loss(generator.decoder(content, mixed).float(), goal)


def _apply(optimizer: torch.optim.Optimizer, loss: Tensor, config: TrainingConfig, step: int) -> float:
    """Backward, average over the processes, check, update. Returns the gradient's norm."""
    if not torch.isfinite(loss):
        raise DivergedError(
            f"step {step}: the loss is {loss.item()}; lower the learning rate or resume from an earlier checkpoint"
        )
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    average_gradients(parameters)
    norm = torch.nn.utils.get_total_norm([p.grad for p in parameters]).item()
    if not norm < config.max_gradient_norm:
        raise DivergedError(
            f"step {step}: the gradient's norm is {norm:.3g}, above {config.max_gradient_norm:.3g}: the run diverged"
        )
    torch.nn.utils.clip_grads_with_norm_(parameters, config.clip_gradient_norm, torch.tensor(norm))
    optimizer.step()
    return norm


def average_gradients(parameters: list[Tensor]) -> None:
    """Mean of the gradients over all processes of a distributed run."""
    _average([p.grad for p in parameters if p.grad is not None])


def _average(tensors: list[Tensor]) -> None:
    """Each becomes its mean over the processes; nothing to do in a single one."""
    if not torch.distributed.is_initialized() or not tensors:
        return
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    torch.distributed.all_reduce(flat)
    flat /= torch.distributed.get_world_size()
    offset = 0
    for tensor in tensors:
        tensor.copy_(flat[offset : offset + tensor.numel()].view_as(tensor))
        offset += tensor.numel()
