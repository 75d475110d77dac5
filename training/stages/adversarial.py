"""Adversarial training by the paper's objective (Eq. 4): the discriminator learns, then generator, encoder and P."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
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
            "generator": torch.optim.Adam(n.learned_by_generator(), config.learning_rate, config.betas),
            "discriminator": torch.optim.Adam(
                trainable(n.discriminator), config.discriminator_learning_rate, config.betas
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
                    fake, source_maps = self.generator(part["source"], part["embedding"])  # y^ = G(x, f(a_Y))
                with autocast():
                    real = lsgan(self.discriminator(part["target"], part["spectrogram"]), True)
                    made = lsgan(self.discriminator(fake.detach(), part["spectrogram"]), False)
                self.scaler.scale((real + made) / 2 / len(slices)).backward()
            said["discriminator/patch"].append((real + made) / 2)
        norm_d = update(self.optimizers["discriminator"], self.scaler, config)
        n.discriminator.requires_grad_(False)

        # G, f and P (Eq. 4)
        for place, part in enumerate(slices):
            with without_sync([self.generator, self.projector, self.back], place < len(slices) - 1):
                with autocast():
                    if sliced:
                        fake, source_maps = self.generator(part["source"], part["embedding"])
                    losses = self._generator_losses(part, fake, source_maps, rng)
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

    def _generator_losses(
        self, part: Batch, fake: Tensor, source_maps: list[Tensor], rng: torch.Generator
    ) -> dict[str, Tensor]:
        """The weighted terms of Eq. 4 by name."""
        n, weights = self.run.networks, self.run.config.losses
        losses = {"gan": weights.gan * lsgan(n.discriminator(fake, part["spectrogram"]), True)}
        if weights.nce:  # L_NCE(Genc, P, X)
            losses["nce"] = weights.nce * self._nce(fake, source_maps, rng)
        if weights.identity_nce:  # L_NCE(Genc, P, Y): y under its own audio
            same, target_maps = n.generator(part["target"], part["embedding"])
            losses["identity_nce"] = weights.identity_nce * self._nce(same, target_maps, rng)
        if self.back is not None:
            restored, _ = self.back(fake, part["source_embedding"])
            same, _ = n.generator(part["target"], part["embedding"])
            losses |= cycle_losses(weights.cycle, weights.identity_l1, part["source"], restored, part["target"], same)
        return losses

    def _nce(self, output: Tensor, keys: list[Tensor], rng: torch.Generator) -> Tensor:
        """Patches of the output against those of what it was made from, in the feature maps of Genc (Eq. 3)."""
        weights = self.run.config.losses
        _, queries = self.run.networks.generator.encoder.features(output, for_nce_alone=True)
        places = draw_places(keys, weights.nce_patches, rng)
        with torch.no_grad():
            key_patches = self.run.networks.projector(keys, places)
        return multiscale_patch_nce(self.projector(queries, places), key_patches, weights.nce_temperature)


def _slices(batch: dict[str, Any], count: int) -> list[dict[str, Any]]:
    if count == 1:
        return [batch]
    parts = {name: value.chunk(count) for name, value in batch.items()}
    return [{name: values[place] for name, values in parts.items()} for place in range(count)]
