"""What the discriminators and the generator are trained for: the losses of Eqs. 1 to 4 and what was added to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from training.config import TrainingConfig
from training.losses.cycle import cycle_losses
from training.losses.terms import excess_saturation, lsgan, multiscale_patch_nce, tone_loss
from training.models.feature_discriminator import shifted
from training.models.image_tower import between, contrast
from training.models.own.generator import Generator
from training.models.own.networks import Networks
from training.models.patch_projector import draw_places
from training.stages.own.slices import Part, among_all


@dataclass
class Seen:
    """What the discriminators look at of one batch of pictures."""

    image: Tensor
    maps: list[Tensor] | None

    def detached(self) -> Seen:
        return Seen(self.image.detach(), None if self.maps is None else [m.detach() for m in self.maps])


@dataclass
class Stylization:
    """What the generator made of the sources, with what the losses need of the way there."""

    image: Tensor  # [b, 3, H, W]
    mask: Tensor | None  # [b, 1, H, W]
    content: Tensor
    source_maps: list[Tensor]  # patch NCE's
    seen: Seen
    pictured: Tensor | None  # [b, E], where the correspondence net's image tower sees it


def look(networks: Networks, image: Tensor, part: Part, which: int) -> Seen:
    """which: 0 for the stylization, 1 for the target; each has its own noise."""
    if not networks._backbone:
        return Seen(image, None)
    moved = shifted(image.float(), part.offsets)
    return Seen(image, list(networks.backbone(moved if part.noise is None else moved + part.noise[:, which])))


def discriminator_losses(
    networks: Networks, part: Part, made: Stylization, config: TrainingConfig
) -> dict[str, Tensor]:
    with torch.no_grad():
        real = look(networks, part.target, part, 1)
    fake = made.seen.detached()
    losses = {}
    for name, judge in judges(networks, config):
        loss = lsgan(judge(real, part.spectrogram, part.direction), True)
        loss_fake = lsgan(judge(fake, part.spectrogram, part.direction), False)
        if config.discriminator.mismatched_pairs:
            loss_wrong = lsgan(judge(real, part.partner_spectrogram, part.partner), False, part.mismatched)
            loss_fake = (loss_fake + part.mismatched_share * loss_wrong) / 2
        losses[name] = (loss + loss_fake) / 2
    return losses


def generator_losses(
    networks: Networks, part: Part, made: Stylization, pictured: list[Tensor], config: TrainingConfig, step: int
) -> dict[str, Tensor]:
    """The weighted losses by name. pictured: where the image tower sees every slice's stylizations."""
    weights, generator, source, target = config.losses, networks.generator, part.source, part.target
    places = torch.Generator().manual_seed(part.places_seed)
    losses: dict[str, Tensor] = {}
    for name, judge in judges(networks, config):
        weight = weights.patch_gan if name == "patch" else weights.feature_gan
        losses[f"gan_{name}"] = weight * lsgan(judge(made.seen, part.spectrogram, part.direction), True)
    if weights.nce and step % weights.nce_every == 0:
        scale = weights.nce * weights.nce_every
        losses["nce"] = scale * _nce(networks, made.image, made.source_maps, config, places)
    if weights.identity_nce and step % weights.identity_every == 0:
        features, target_maps = generator.encoder.features(target)
        same = generator.decoder(generator.encoder.content(features, target, part.roll), part.embedding)
        scale = weights.identity_nce * weights.identity_every
        losses["identity_nce"] = scale * _nce(networks, same, target_maps, config, places)
    if networks.back_generator is not None:
        assert part.source_embedding is not None
        same = generator(target, part.embedding) if weights.identity_l1 else None
        own = part.source_embedding
        losses.update(cycle_losses(networks.back_generator, weights, source, made.image, own, target, same))
    if made.pictured is not None:
        everyone = among_all(torch.cat(pictured), made.pictured, part.first)
        directions = F.normalize(part.batch.heard.float(), dim=-1)
        temperature = config.correspondence.temperature
        agreement = F.softmax(directions @ directions.T / temperature, dim=1).detach()
        losses["correspondence"] = weights.correspondence * contrast(everyone, directions, agreement, temperature)
    if weights.tone:
        losses["tone"] = weights.tone * tone_loss(made.image, target)
    if weights.excess_saturation:
        losses["excess_saturation"] = weights.excess_saturation * excess_saturation(made.image, source)
    if weights.mask and made.mask is not None:
        losses["mask"] = weights.mask * made.mask.mean()
    if weights.mix and step % weights.mix_every == 0:
        losses["mix"] = weights.mix * _mix_loss(generator, part, made)
    return losses


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


def _mix_loss(generator: Generator, part: Part, made: Stylization) -> Tensor:
    """The embedding between two others' directions gives the picture that lies as far between theirs."""
    content, weight = made.content.detach(), part.mix_weight
    length = part.embedding.detach().norm(dim=-1, keepdim=True)
    own, partner = (F.normalize(told.detach().float(), dim=-1) for told in (part.embedding, part.partner_embedding))
    mixed = between(own, partner, weight) * length
    with torch.no_grad():
        other = generator.decoder(content, partner * length)
        share = weight[:, :, None, None]
        goal = share * made.image.detach().float() + (1 - share) * other.float()
    return F.l1_loss(generator.decoder(content, mixed).float(), goal)
