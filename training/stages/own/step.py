"""The adversarial stage of our own model: the discriminators learn, then the generator and the patch projector."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import default_collate

from training.data.dataset import SKIPPED, Batch, crop_at
from training.models.networks import trainable
from training.models.own.running_norm import calibrate, running_norms, take_statistics
from training.stages.loading import image_batches, steps_of
from training.stages.own.objective import Stylization, discriminator_losses, extract_features, generator_losses
from training.stages.own.slices import ALIKE_COSINE, TrainingBatch
from training.stages.parallel import average_over_processes, gradients_of
from training.stages.stage import Run, Stage, falling_rate, mean_losses, set_rate
from training.stages.update import total_of, update

CALIBRATION_IMAGES = 8


class OwnAdversarialTraining(Stage):
    name = "adversarial training"
    budget_share = 0.7

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        config, n = run.config, run.networks
        self.images_per_step = config.batch
        n.train()
        n.requires_grad_(True)
        for frozen in (n.audio_encoder, n.image_tower):
            frozen.requires_grad_(False)
        n.feature_discriminator.freeze_mixing()
        self.scaler = run.precision.scaler()
        graded = {id(p) for p in n.generator.decoder.grade.parameters()}
        learned = n.learned_by_generator()
        groups = [
            {"params": [p for p in learned if id(p) not in graded], "scale": 1.0},
            {"params": [p for p in learned if id(p) in graded], "scale": config.grade_rate},
        ]
        self.optimizers = {
            "generator": torch.optim.Adam(groups, config.learning_rate, config.betas),
            "discriminator": torch.optim.Adam(
                trainable(*n.discriminators()), config.discriminator_learning_rate, config.betas
            ),
        }

    @property
    def steps(self) -> int:
        return steps_of(self.run)

    @torch.no_grad()
    def begin(self) -> None:
        """Let the generator's norms begin with the statistics of the run's first images, if they have none yet."""
        run, n = self.run, self.run.networks
        norms = [norm for norm in running_norms(n) if not norm.steps]
        if not norms:
            return
        crop = crop_at(run.config.data, 0.0)
        items = [run.dataset[draw, crop] for draw in range(CALIBRATION_IMAGES)]
        for item in items:
            item.pop(SKIPPED)
        batch = {name: values.to(run.device) for name, values in default_collate(items).items()}
        n.eval()
        embedding = n.audio_encoder(batch["waveform"])
        calibrate(norms, lambda: n.generator(batch["source"], embedding))
        n.train()

    def batches(self, first: int, share_at: Callable[[int], float]) -> Iterator[Batch]:
        return image_batches(self.run, first, share_at)

    def step(self, number: int, batch: Batch, share: float) -> Mapping[str, Tensor]:
        run, config, n = self.run, self.run.config, self.run.networks
        set_rate(self.optimizers["generator"], falling_rate(config.learning_rate, config.constant_share, share))
        set_rate(
            self.optimizers["discriminator"],
            falling_rate(config.discriminator_learning_rate, config.constant_share, share),
        )
        autocast = run.precision.autocast
        with autocast():
            parts = self._encode_conditions(batch, run.rng(number)).split(config.accumulate)
        sliced = len(parts) > 1
        said: dict[str, list[Tensor]] = defaultdict(list)

        # The discriminators. Slices are stylized here and again for the generator: one's activations are kept at once
        self._let_discriminators_learn(True)
        self.optimizers["discriminator"].zero_grad(set_to_none=True)
        image_embeddings: list[Tensor] = []
        for part in parts:
            with torch.set_grad_enabled(not sliced), autocast():
                made = self._stylize(part)
            with autocast():
                losses = discriminator_losses(n, part, made)
            self.scaler.scale(total_of(losses, len(parts))).backward()
            for name, loss in losses.items():
                said[f"discriminator/{name}"].append(loss)
            if made.image_embedding is not None:
                image_embeddings.append(made.image_embedding.detach())
        average_over_processes(gradients_of(self.optimizers["discriminator"]))
        norm_d = update(self.optimizers["discriminator"], self.scaler, config)

        # The generator (Eq. 4 and what was added to it)
        self._let_discriminators_learn(False)
        self.optimizers["generator"].zero_grad(set_to_none=True)
        for part in parts:
            with autocast():
                if sliced:
                    made = self._stylize(part)
                losses = generator_losses(n, part, made, image_embeddings, config, number)
            self.scaler.scale(total_of(losses, len(parts))).backward()
            for name, loss in losses.items():
                said[f"generator/{name}"].append(loss)
            said["mask"].append(made.mask.mean())
        average_over_processes(gradients_of(self.optimizers["generator"]))
        norm_g = update(self.optimizers["generator"], self.scaler, config)
        self.scaler.update()

        # The generator's norms: all processes go on with the same statistics
        running = running_norms(n)
        average_over_processes([norm.accumulated for norm in running])
        take_statistics(running)
        run.average.update(n, config.batch, (number + 1) * config.batch)
        return {**mean_losses(said), "gradient/discriminator": norm_d, "gradient/generator": norm_g}

    def _let_discriminators_learn(self, learn: bool) -> None:
        for discriminator in self.run.networks.discriminators():
            discriminator.requires_grad_(learn)
        self.run.networks.feature_discriminator.freeze_mixing()

    def _encode_conditions(self, batch: Batch, rng: torch.Generator) -> TrainingBatch:
        """The batch with its audio encoded and its randomness drawn."""
        n, config, source = self.run.networks, self.run.config, batch["source"]
        size, device = len(source), source.device
        with torch.no_grad():
            embedding = n.audio_encoder(batch["waveform"])  # [b, E]
        direction = F.normalize(embedding.float(), dim=-1)
        partner = torch.roll(direction, 1, 0)
        noise = config.discriminator.feature_noise
        return TrainingBatch(
            source=source,
            target=batch["target"],
            embedding=embedding,
            direction=direction,
            partner=partner,
            mismatched=((direction * partner).sum(dim=1) < ALIKE_COSINE).float(),
            roll=int(torch.randint(64 * 64, (), generator=rng)),
            offsets=(torch.rand(size, 2, generator=rng) * 2 - 1).to(device) * source.shape[-1] / 8,
            noise=noise * torch.randn(size, 2, *source.shape[1:], generator=rng).to(device) if noise else None,
            mix_weight=torch.rand(size, 1, generator=rng).to(device),
            places_seed=int(torch.randint(2**62, (), generator=rng)),
        )

    def _stylize(self, part: TrainingBatch) -> Stylization:
        n = self.run.networks
        features, source_maps = n.generator.encoder.features(part.source)
        content = n.generator.encoder.content(features, part.source, part.roll)
        image, mask = n.generator.decoder.outputs(content, part.embedding)  # [b, 3, H, W]
        seen = extract_features(n, image, part, 0)
        by_tower = self.run.config.losses.correspondence
        image_embedding = n.image_tower([m.float() for m in seen.maps]) if by_tower else None
        return Stylization(image, mask, content, source_maps, seen, image_embedding)
