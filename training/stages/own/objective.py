"""What the discriminators and the generator of our own model are trained for: Eqs. 1 to 4 and what was added."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from training.losses.adversarial import lsgan
from training.losses.contrastive import between, contrast
from training.losses.patch_nce import multiscale_patch_nce
from training.losses.tones import excess_saturation, tone_loss
from training.models.feature_discriminator import shifted
from training.models.own.config import OwnConfig
from training.models.own.generator import Generator
from training.models.own.networks import OwnNetworks
from training.models.patch_projector import draw_places
from training.stages.own.slices import TrainingBatch, gather_batch_rows


@dataclass
class DiscriminatorInput:
    """What the discriminators look at of one batch of images."""

    image: Tensor
    maps: list[Tensor]

    def detached(self) -> DiscriminatorInput:
        return DiscriminatorInput(self.image.detach(), [m.detach() for m in self.maps])


@dataclass
class Stylization:
    """What the generator made of the sources, with what the losses need of the way there."""

    image: Tensor  # [b, 3, H, W]
    mask: Tensor  # [b, 1, H, W]
    content: Tensor
    source_maps: list[Tensor]  # patch NCE's
    seen: DiscriminatorInput
    image_embedding: Tensor | None  # [b, E], by the image tower


def extract_features(networks: OwnNetworks, image: Tensor, part: TrainingBatch, which: int) -> DiscriminatorInput:
    """which: 0 for the stylization, 1 for the target; each has its own noise."""
    moved = shifted(image.float(), part.offsets)
    noisy = moved if part.noise is None else moved + part.noise[:, which]
    return DiscriminatorInput(image, list(networks.backbone(noisy)))


def discriminator_losses(networks: OwnNetworks, part: TrainingBatch, made: Stylization) -> dict[str, Tensor]:
    """Real pairs against stylized ones and, where the batch has any, against mismatched real ones."""
    with torch.no_grad():
        real = extract_features(networks, part.target, part, 1)
    fake = made.seen.detached()
    has_mismatch = (part.batch.mismatched.sum() > 0).float()
    losses = {}
    for name, judge in judges(networks).items():
        loss = lsgan(judge(real, part.direction), True)
        loss_fake = lsgan(judge(fake, part.direction), False)
        loss_wrong = lsgan(judge(real, part.partner), False, part.mismatched)
        loss_fake = (loss_fake + part.mismatched_share * loss_wrong) / (1 + has_mismatch)
        losses[name] = (loss + loss_fake) / 2
    return losses


def generator_losses(
    networks: OwnNetworks,
    part: TrainingBatch,
    made: Stylization,
    image_embeddings: Sequence[Tensor],
    config: OwnConfig,
    step: int,
) -> dict[str, Tensor]:
    """The weighted losses by name. image_embeddings: of every slice's stylizations."""
    weights, generator, source, target = config.losses, networks.generator, part.source, part.target
    places = torch.Generator().manual_seed(part.places_seed)
    losses: dict[str, Tensor] = {}
    for name, judge in judges(networks).items():
        weight = weights.patch_gan if name == "patch" else weights.feature_gan
        losses[f"gan_{name}"] = weight * lsgan(judge(made.seen, part.direction), True)
    if weights.nce and step % weights.nce_every == 0:
        scale = weights.nce * weights.nce_every
        losses["nce"] = scale * _nce(networks, made.image, made.source_maps, config, places)
    if weights.identity_nce and step % weights.identity_every == 0:
        features, target_maps = generator.encoder.features(target)
        same = generator.decoder(generator.encoder.content(features, target, part.roll), part.embedding)
        scale = weights.identity_nce * weights.identity_every
        losses["identity_nce"] = scale * _nce(networks, same, target_maps, config, places)
    if made.image_embedding is not None:
        everyone = gather_batch_rows(torch.cat(list(image_embeddings)), made.image_embedding, part.first)
        directions, temperature = part.batch.direction, config.pretraining.temperature
        agreement = F.softmax(directions @ directions.T / temperature, dim=1)
        losses["correspondence"] = weights.correspondence * contrast(everyone, directions, agreement, temperature)
    if weights.tone:
        losses["tone"] = weights.tone * tone_loss(made.image, target)
    if weights.excess_saturation:
        losses["excess_saturation"] = weights.excess_saturation * excess_saturation(made.image, source)
    if weights.mask:
        losses["mask"] = weights.mask * made.mask.mean()
    if weights.mix and step % weights.mix_every == 0:
        losses["mix"] = weights.mix * _mix_loss(generator, part, made)
    return losses


Judge = Callable[[DiscriminatorInput, Tensor], Tensor | Sequence[Tensor]]


def judges(networks: OwnNetworks) -> Mapping[str, Judge]:
    """The discriminators by name, called with what they see and the embedding's direction."""
    return {
        "patch": lambda seen, direction: networks.discriminator(seen.image, direction),
        "features": lambda seen, direction: networks.feature_discriminator(seen.maps, direction),
    }


def _nce(networks: OwnNetworks, output: Tensor, keys: list[Tensor], config: OwnConfig, rng: torch.Generator) -> Tensor:
    """L_NCE(Genc, P, X): patches of the output against those of what it was made from."""
    _, queries = networks.generator.encoder.features(output.to(keys[0].dtype), nce_only=True)
    # normed by the image's own statistics, else more light or haze over all would count as lost structure
    queries, keys = ([F.instance_norm(features) for features in maps] for maps in (queries, keys))
    places = draw_places(keys, config.losses.nce_patches, rng)
    with torch.no_grad():
        key_patches = networks.projector(keys, places)
    return multiscale_patch_nce(networks.projector(queries, places), key_patches, config.losses.nce_temperature)


def _mix_loss(generator: Generator, part: TrainingBatch, made: Stylization) -> Tensor:
    """The embedding between two others' directions gives the image that lies as far between theirs."""
    content, weight = made.content.detach(), part.mix_weight
    length = part.embedding.norm(dim=-1, keepdim=True)
    mixed = between(part.direction, part.partner, weight) * length
    with torch.no_grad():
        other = generator.decoder(content, part.partner * length)
        share = weight[:, :, None, None]
        goal = share * made.image.detach().float() + (1 - share) * other.float()
    return F.l1_loss(generator.decoder(content, mixed).float(), goal)
