"""Style training: the generator learns each scene's look from photographs of it, conditioned by hearings of it.

Every step draws one scene. Its outputs together must have the features and colors of its photographs where these show
the same kind of thing (sliced Wasserstein distance between corresponding cells), and pass for them before a
discriminator that is told the audio and the kind of thing (Eq. 1), while patch NCE
(Eq. 2) and self-similarity hold on to the structure of the source, and a photograph of the scene stays as it is under
its own audio (the identity term of Eq. 4). Mixes are part of it: the color drawn between two directions is the blend of
the colors drawn for each.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training.data.dataset import Batch
from training.losses.distribution import Correspondence, opponent_colors, sliced_wasserstein
from training.losses.patch_nce import multiscale_patch_nce
from training.losses.structure import gradient_loss, self_similarity_loss
from training.losses.variety import color_variety, excess_variety
from training.models.cell_descriptor import CellDescriptor
from training.models.patch_projector import draw_places
from training.stages.loading import steps_of
from training.stages.scene_batches import SceneBatches
from training.stages.stage import Run, Stage, falling_rate, set_rate
from training.stages.update import update

WARMUP_STEPS = 100
ENCODER_RATE = 0.1  # of Genc's learning rate beside Gdec's: it begins trained
REMEMBERED_BATCHES = 3  # of each scene's photographs, pooled with the present ones
EXAMPLE_BATCHES = 32  # whose features say by what components cells are compared
SELF_SIMILARITY_MAPS = (1, 2)  # strides 4 and 8
GAN_RAMP_STEPS = 300
MIX_EVERY, IDENTITY_EVERY = 3, 6  # steps; on half of the batch


@dataclass(frozen=True)
class PhotographFeatures:
    """What is known of a batch of photographs: frozen features, opponent colors, the cells' descriptors and variety."""

    maps: list[Tensor]
    colors: Tensor
    descriptors: Tensor
    variety: Tensor


class StyleTraining(Stage):
    """See the module's text."""

    name = "style training"

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        if run.ranks > 1:
            raise ValueError(
                "style training runs in one process; a batch holds one scene, and its loss is of the whole"
            )
        config, n = run.config, run.networks
        self.images_per_step = config.batch
        n.train()
        self.scaler = run.precision.scaler()
        groups: list[dict[str, Any]] = [
            {"params": list(n.generator.decoder.parameters())},
            {"params": list(n.projector.parameters())},
            {"params": list(n.generator.encoder.parameters()), "scale": ENCODER_RATE},
        ]
        self.optimizers = {
            "generator": torch.optim.Adam(groups, config.learning_rate, config.betas),
            "discriminator": torch.optim.Adam(
                n.discriminator.learning(), config.discriminator_learning_rate, (0.0, config.betas[1])
            ),
        }
        self.drawn = SceneBatches(run.dataset.pairs, run.dataset.images, run.dataset.of_no_scene, config.batch)
        self.drawn.prepare(n.backbone, n.audio_encoder, config.seed)
        self.remembered: dict[int, list[PhotographFeatures]] = defaultdict(list)  # recent photographs, by scene
        crop = self._crop(0.0)
        examples = (self.drawn.draw(step, crop, config.seed)["real"] for step in range(EXAMPLE_BATCHES))
        rng = torch.Generator().manual_seed(config.seed)
        self.describe = CellDescriptor(n.deep_backbone, [each.to(run.device) for each in examples], rng)

    @property
    def steps(self) -> int:
        return steps_of(self.run)

    def begin(self) -> None:
        """Bring the discriminator's maps to one scale."""
        first = self.drawn.draw(0, self._crop(0.0), self.run.config.seed)
        with torch.no_grad():
            n = self.run.networks
            n.discriminator.calibrate(n.backbone.features(first["real"].to(self.run.device)))

    def batches(self, first: int, share_at: Callable[[int], float]) -> Iterator[Batch]:
        while True:
            yield self.drawn.draw(first, self._crop(share_at(first)), self.run.config.seed)
            first += 1

    def step(self, number: int, batch: Batch, share: float) -> Mapping[str, Tensor]:
        """batch: what `SceneBatches.draw` returns."""
        config, n, rng = self.run.config, self.run.networks, self.run.rng(number)
        warm = min(1.0, (number + 1) / WARMUP_STEPS)
        for name, rate in (
            ("generator", config.learning_rate),
            ("discriminator", config.discriminator_learning_rate),
        ):
            set_rate(self.optimizers[name], warm * falling_rate(rate, config.constant_share, share))
            self.optimizers[name].zero_grad(set_to_none=True)
        scene, source, real = int(batch["scene"]), batch["source"], batch["real"]
        embedding = batch["embedding"]
        direction = F.normalize(embedding, dim=1)
        autocast, weights = self.run.precision.autocast, config.losses

        # y = Gdec(Genc(x), f(a)), and the frozen features of all three
        maps = n.generator.encoder.features(source)
        with autocast():
            made, color, _ = n.generator.decoder.draw(source, maps, embedding)
        made_maps = n.backbone.features(made)
        with torch.no_grad(), autocast():
            source_maps = [features.float() for features in n.backbone.features(source)]
            real_maps = [features.float() for features in n.backbone.features(real)]
            described = self.describe(real, batch["real_heights"])
            photographs = PhotographFeatures(
                real_maps, opponent_colors(real), described, color_variety(real, described[:, :-1])
            )
            source_descriptors = self.describe(source, batch["source_heights"])

        # D: photographs of the scene against results, and against photographs of another scene (mismatched pairs)
        detached = [features.detach() for features in made_maps]
        with autocast():
            judged = hinge(n.discriminator(photographs.maps, direction, photographs.descriptors), True)
            judged = judged + hinge(n.discriminator(detached, direction, source_descriptors), False)
            others = [other for other, kept in self.remembered.items() if kept and other != scene]
            others = [other for other in others if self.remembered[other][-1].colors.shape == photographs.colors.shape]
            if others:
                wrong = self.remembered[others[int(torch.randint(len(others), (), generator=rng))]][-1]
                judged = judged + hinge(n.discriminator(wrong.maps, direction, wrong.descriptors), False)
        self.scaler.scale(judged).backward()
        update(self.optimizers["discriminator"], self.scaler, config)

        # G (Eq. 4)
        n.discriminator.requires_grad_(False)
        losses = self._losses(made, made_maps, source, source_maps, source_descriptors, photographs, scene, rng)
        with autocast():
            ramp = min(1.0, max(0.0, (number - config.gan_start_steps) / GAN_RAMP_STEPS))
            if weights.gan and ramp:
                scores = n.discriminator(made_maps, direction, source_descriptors)
                losses["gan"] = -ramp * weights.gan * torch.stack([s.mean() for s in scores]).mean()
        if weights.mix and number % MIX_EVERY == 0:
            losses["mix"] = weights.mix * self._mix_loss(scene, source, maps, color, direction, number)
        if weights.identity and number % IDENTITY_EVERY == 1:
            half = len(real) // 2
            own = real[:half]
            with autocast():
                same = n.generator.decoder.draw(own, n.generator.encoder.features(own), direction[:half])[0]
            losses["identity"] = weights.identity * F.l1_loss(same, own)
        self.scaler.scale(torch.stack([loss.float() for loss in losses.values()]).sum()).backward()
        norm = update(self.optimizers["generator"], self.scaler, config)
        self.scaler.update()
        for parameter in n.discriminator.learning():
            parameter.requires_grad_(True)
        self.remembered[scene] = [*self.remembered[scene], photographs][-REMEMBERED_BATCHES:]
        self.run.average.update(n, config.batch, (number + 1) * config.batch)
        said = {f"generator/{name}": loss.detach() for name, loss in losses.items()}
        return {**said, "discriminator": judged.detach(), "gradient/generator": norm}

    def extra(self) -> dict[str, Any]:
        return {"remembered": {scene: [vars(each) for each in kept] for scene, kept in self.remembered.items()}}

    def restore_extra(self, values: dict[str, Any]) -> None:
        kept = {
            scene: [PhotographFeatures(**each) for each in batches] for scene, batches in values["remembered"].items()
        }
        self.remembered = defaultdict(list, kept)

    def _losses(
        self,
        made: Tensor,
        made_maps: list[Tensor],
        source: Tensor,
        source_maps: list[Tensor],
        source_descriptors: Tensor,
        photographs: PhotographFeatures,
        scene: int,
        rng: torch.Generator,
    ) -> dict[str, Tensor]:
        """The weighted terms that need no discriminator."""
        n, weights = self.run.networks, self.run.config.losses
        pool = [
            photographs,
            *(kept for kept in self.remembered[scene] if kept.colors.shape[2:] == photographs.colors.shape[2:]),
        ]
        correspondence = Correspondence.of(source_descriptors, torch.cat([each.descriptors for each in pool]), rng)
        swd = [
            sliced_wasserstein(maps, torch.cat([each.maps[level] for each in pool]), correspondence, rng)
            for level, maps in enumerate(made_maps)
        ]
        colors = torch.cat([each.colors for each in pool])
        alike = [self_similarity_loss(made_maps[level], source_maps[level], rng) for level in SELF_SIMILARITY_MAPS]
        shown = source_descriptors[:, :-1]  # at any height
        usual = torch.cat([each.variety for each in pool]).flatten()[correspondence.cells]
        with torch.no_grad():
            before = color_variety(source, shown).flatten()
        varied = color_variety(made, shown).flatten()
        places = draw_places(made_maps, weights.nce_patches, rng)
        with torch.no_grad():
            keys = n.projector(source_maps, places)
        nce = multiscale_patch_nce(n.projector(made_maps, places), keys, weights.nce_temperature)
        return {
            "swd": weights.swd * torch.stack(swd).sum(),
            "colors": weights.colors
            * sliced_wasserstein(opponent_colors(made), colors, correspondence, rng, normalize=False),
            "self_similarity": weights.self_similarity * torch.stack(alike).sum(),
            "gradients": weights.gradients * gradient_loss(made, source),
            "variety": weights.variety * excess_variety(varied, before, usual),
            "nce": weights.nce * nce,
        }

    def _mix_loss(
        self, scene: int, source: Tensor, maps: list[Tensor], color: Tensor, direction: Tensor, number: int
    ) -> Tensor:
        """The color for normalize(p a + (1 - p) b) is p times that for a and 1 - p times that for b."""
        n, drawn, half = self.run.networks, self.drawn, len(source) // 2
        rng = np.random.default_rng((self.run.config.seed, number, 2))
        other = int(rng.choice([each for each in range(len(drawn.scenes)) if each != scene]))
        second = drawn.hear(other, half, rng).to(source.device)
        share = torch.from_numpy(rng.random((half, 1))).float().to(source.device)
        parts, images = [features[:half] for features in maps], source[:half]
        with self.run.precision.autocast():
            with torch.no_grad():
                second_color = n.generator.decoder.draw(images, parts, second)[1]
            between = F.normalize(share * direction[:half] + (1 - share) * second, dim=1)
            mixed = n.generator.decoder.draw(images, parts, between)[1]
        weight = share[:, :, None, None]
        return F.l1_loss(mixed, weight * color[:half].detach() + (1 - weight) * second_color)

    def _crop(self, share: float) -> int:
        return [crop for begins, crop in self.run.config.data.crops if share >= begins][-1]


def hinge(scores: list[Tensor], real: bool) -> Tensor:
    """Hinge loss of a discriminator (Lim and Ye 2017), mean over its maps."""
    sign = -1.0 if real else 1.0
    return torch.stack([F.relu(1 + sign * each).mean() for each in scores]).mean()
