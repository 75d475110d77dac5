"""Adversarial training by the paper's objective (Eq. 4): the discriminator learns, then generator, encoder and P."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from training.data.dataset import Batch
from training.losses.adversarial import lsgan
from training.losses.cycle import cycle_losses
from training.losses.patch_nce import multiscale_patch_nce
from training.models.networks import trainable
from training.models.patch_projector import draw_places
from training.models.spectrogram import align_to_image
from training.stages.loading import image_batches, steps_of
from training.stages.parallel import gathered, parallel, without_sync
from training.stages.stage import Run, Stage, falling_rate, mean_losses, set_rate
from training.stages.update import total_of, update


@dataclass(frozen=True)
class Generated:
    """fake: G(x, f(a_Y)), and what it was made from in Genc's feature maps; same: G(y, f(a_Y)), None if unused."""

    fake: Tensor
    same: Tensor | None
    maps: Sequence[Tensor]  # of x, then, if `same` is there, of y: [b or 2b, C, H, W] each


class AdversarialTraining(Stage):
    """L_GAN(G, D) + lambda L_NCE(Genc, P, X) + mu L_NCE(Genc, P, Y), with LSGAN's squares for the logarithms."""

    name = "adversarial training"
    budget_share = 0.85

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        config, n = run.config, run.networks
        self.images_per_step = config.batch
        n.train()
        self.encoder, self.conditioner = parallel(n.audio_encoder), parallel(n.conditioner)
        self.generator, self.projector = parallel(n.generator), parallel(n.projector)
        self.discriminator = parallel(n.discriminator)
        self.back = None if n.back_generator is None else parallel(n.back_generator)
        self.scaler = run.precision.scaler()
        self.optimizers = {
            "generator": torch.optim.Adam(n.learned_by_generator(), config.learning_rate, config.betas, fused=True),
            "discriminator": torch.optim.Adam(
                trainable(n.discriminator), config.discriminator_learning_rate, config.betas, fused=True
            ),
        }

    @property
    def steps(self) -> int:
        return steps_of(self.run)

    def batches(self, first: int, share_at: Callable[[int], float]) -> Iterator[Batch]:
        return image_batches(self.run, first, share_at)

    def step(self, number: int, batch: Batch, share: float) -> Mapping[str, Tensor]:
        """batch: `source`, `target` [b, 3, H, W] in [-1, 1]; `waveform` [b, N], which occurs with the target."""
        config, n = self.run.config, self.run.networks
        set_rate(self.optimizers["generator"], falling_rate(config.learning_rate, config.constant_share, share))
        set_rate(
            self.optimizers["discriminator"],
            falling_rate(config.discriminator_learning_rate, config.constant_share, share),
        )
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        rng = self.run.rng(number)
        said: dict[str, list[Tensor]] = defaultdict(list)

        # f(a): all audio of the batch at once, since its batch norms see all of it
        with self.run.precision.autocast():
            encoded = self._encode(batch)
        leaves = {name: value.detach().requires_grad_(value.requires_grad) for name, value in encoded.items()}
        everything = {**batch, **leaves, "spectrogram": self._spectrogram(batch)}
        slices = _slices(everything, config.accumulate)
        sliced, autocast = len(slices) > 1, self.run.precision.autocast

        # D: real pairs against stylized ones (Eq. 1). Slices are stylized here, and again for G: the activations of
        # one slice alone are in memory
        n.discriminator.requires_grad_(True)
        for place, part in enumerate(slices):
            with without_sync([self.discriminator], place < len(slices) - 1):
                with torch.set_grad_enabled(not sliced), autocast():
                    generated = self._generate(part, fake_alone=sliced)
                with autocast():  # real and stylized images in one pass: no norm of D sees more than one image
                    images = torch.cat([part["target"], generated.fake.detach()])
                    scores = self.discriminator(images, part["spectrogram"].repeat(2, 1, 1, 1))
                    of_target, of_fake = scores.chunk(2)
                    real, made = lsgan(of_target, True), lsgan(of_fake, False)
                self.scaler.scale((real + made) / 2 / len(slices)).backward()
            said["discriminator/patch"].append((real + made) / 2)
        norm_d = update(self.optimizers["discriminator"], self.scaler, config)
        n.discriminator.requires_grad_(False)

        # G, f and P (Eq. 4)
        for place, part in enumerate(slices):
            with without_sync([self.generator, self.projector, self.back], place < len(slices) - 1):
                with autocast():
                    if sliced:
                        generated = self._generate(part)
                    losses = self._generator_losses(part, generated, rng)
                self.scaler.scale(total_of(losses, len(slices))).backward()
            for name, loss in losses.items():
                said[f"generator/{name}"].append(loss)
        reached = [(encoded[name], leaf.grad) for name, leaf in leaves.items() if leaf.grad is not None]
        if reached:
            torch.autograd.backward([value for value, _ in reached], [gradient for _, gradient in reached])
        norm_g = update(self.optimizers["generator"], self.scaler, config)
        self.scaler.update()
        self.run.average.update(n, config.batch, (number + 1) * config.batch)
        return {**mean_losses(said), "gradient/discriminator": norm_d, "gradient/generator": norm_g}

    def _encode(self, batch: Batch) -> dict[str, Tensor]:
        """`embedding` [b, E], and for the cycle `source_embedding`.

        Every process encodes the audio of all, so that the batch norms' statistics are those of the whole batch.
        """
        n, size = self.run.networks, len(batch["source"])
        waveform, first = gathered(batch["waveform"])
        condition, _ = gathered(batch["condition"]) if "condition" in batch else (None, 0)
        embedding = self.conditioner(self.encoder, n.generator.encoder, waveform, condition)
        found = {"embedding": embedding[first : first + size]}
        if self.back is not None:
            own, first = gathered(batch["source_waveform"])
            found["source_embedding"] = self.encoder(own)[first : first + size]
        return found

    @torch.no_grad()
    def _spectrogram(self, batch: Batch) -> Tensor:
        """[b, 3, H, W], for early fusion."""
        magnitude = self.run.networks.audio_encoder.spectrogram(batch["waveform"])
        return align_to_image(magnitude, *batch["source"].shape[2:])

    def _generate(self, part: Batch, fake_alone: bool = False) -> Generated:
        """ŷ = G(x, f(a_Y)) and, where a loss needs it, G(y, f(a_Y)): in one pass, as G has no norm over the batch."""
        weights, source, embedding = self.run.config.losses, part["source"], part["embedding"]
        if fake_alone or not (weights.identity_nce or weights.identity_l1):
            fake, maps = self.generator(source, embedding)
            return Generated(fake, None, maps)
        made, maps = self.generator(torch.cat([source, part["target"]]), embedding.repeat(2, 1))
        fake, same = made.split(len(source))
        return Generated(fake, same, maps)

    def _generator_losses(self, part: Batch, made: Generated, rng: torch.Generator) -> dict[str, Tensor]:
        """The weighted terms of Eq. 4 by name."""
        n, weights, size = self.run.networks, self.run.config.losses, len(part["source"])
        losses = {"gan": weights.gan * lsgan(n.discriminator(made.fake, part["spectrogram"]), True)}
        compared = [("nce", made.fake, weights.nce)]  # L_NCE(Genc, P, X)
        if made.same is not None:  # L_NCE(Genc, P, Y): y under its own audio
            compared.append(("identity_nce", made.same, weights.identity_nce))
        if any(weight for _, _, weight in compared):
            _, maps = n.generator.encoder.features(torch.cat([image for _, image, _ in compared]), for_nce_alone=True)
            for place, (name, _, weight) in enumerate(compared):
                if weight:
                    rows = slice(place * size, (place + 1) * size)
                    losses[name] = weight * self._nce([m[rows] for m in maps], [m[rows] for m in made.maps], rng)
        if self.back is not None:
            restored, _ = self.back(made.fake, part["source_embedding"])
            same = part["target"] if made.same is None else made.same
            losses |= cycle_losses(weights.cycle, weights.identity_l1, part["source"], restored, part["target"], same)
        return losses

    def _nce(self, queries: list[Tensor], keys: list[Tensor], rng: torch.Generator) -> Tensor:
        """Patches of the output against those of what it was made from, in the feature maps of Genc (Eq. 3)."""
        weights = self.run.config.losses
        places = draw_places(keys, weights.nce_patches, rng)
        with torch.no_grad():
            key_patches = self.run.networks.projector(keys, places)
        return multiscale_patch_nce(self.projector(queries, places), key_patches, weights.nce_temperature)


def _slices(batch: dict[str, Any], count: int) -> list[dict[str, Any]]:
    if count == 1:
        return [batch]
    parts = {name: value.chunk(count) for name, value in batch.items()}
    return [{name: values[place] for name, values in parts.items()} for place in range(count)]
