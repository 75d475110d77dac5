"""Audio-visual pre-training: an image tower and the audio encoder learn by contrast what occurs together."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from training.data import media
from training.data.dataset import Batch
from training.losses.contrastive import between, contrast, mixed_targets
from training.models.backbone import pooled
from training.models.networks import trainable
from training.stages.stage import Run, Stage, falling_rate, set_rate

VIEWS = 4  # augmented views of every image
VIEW_SIDE = 128  # pixels
LEAST_SHARE = 0.12  # of a clip in a mix (18 dB below the other): a recording's own hiss is not rain
WEIGHT_DECAY = 0.05


class AudioVisualPretraining(Stage):
    """Pull images and audio that occur together to one direction, and mixed clips between their parts.

    Contrast over the pairs of a batch (InfoNCE). Half of the clips of each batch are mixed with another's; their
    target is the point between the two directions, so that f of a mix moves evenly with its weights.
    """

    name = "audio-visual pre-training"
    budget_share = 0.1
    begins_anew_only = True

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        n = run.networks
        self.frozen_after = [p for p in n.audio_encoder.parameters() if not p.requires_grad]
        self.encoder, self.tower = n.audio_encoder, n.image_tower
        self.encoder.requires_grad_(True).train()
        self.tower.requires_grad_(True).train()
        learned = trainable(self.encoder, self.tower)
        rate = run.config.pretraining.learning_rate
        self.optimizers = {"towers": torch.optim.AdamW(learned, rate, weight_decay=WEIGHT_DECAY)}
        self.views: dict[Path, Tensor] = {}

    @property
    def steps(self) -> int:
        return int(self.run.config.pretraining.steps)

    def step(self, number: int, batch: Batch, share: float) -> Mapping[str, Tensor]:
        run, settings = self.run, self.run.config.pretraining
        set_rate(self.optimizers["towers"], falling_rate(settings.learning_rate, 0.0, share))
        if not self.views:
            self.views = self._views()
        rng = run.rng(number, shared=True)
        torch.manual_seed(run.config.seed * 1_000_003 + number)  # of the tower's dropout
        pairs, waveforms = run.dataset.draw_sounds(settings.batch, number)
        kept = [place for place, pair in enumerate(pairs) if pair.image in self.views]
        pairs, waveforms = [pairs[place] for place in kept], waveforms[kept]
        which = torch.randint(VIEWS, (len(pairs),), generator=rng).tolist()
        features = torch.stack([self.views[p.image][view] for p, view in zip(pairs, which, strict=True)])
        waveform = augmented(waveforms, run.config.audio.sample_rate_hz, rng).to(run.device)  # one level: mixes are
        weight = torch.rand(len(pairs), generator=rng).to(run.device)  # by loudness
        partner = torch.randperm(len(pairs), generator=rng).to(run.device)
        mixed = weight[:, None] * waveform + (1 - weight)[:, None] * waveform[partner]
        image = self.tower.from_pooled(features.to(run.device))
        with run.precision.autocast():
            directions = self.encoder.direction(torch.cat([waveform, mixed]))
        pure, mixture = directions.float().chunk(2)
        loss_pair = contrast(image, pure, mixed_targets(torch.ones_like(weight), partner), settings.temperature)
        goal = between(pure.detach(), pure.detach()[partner], weight[:, None])
        loss_mix = (1 - (mixture * goal).sum(dim=1)).mean()
        self.optimizers["towers"].zero_grad(set_to_none=True)
        (loss_pair + 2 * loss_mix).backward()
        self.optimizers["towers"].step()
        best = (pure.detach() @ image.detach().T).argmax(dim=1)
        scenes = [pair.scene for pair in pairs]
        same = torch.tensor([[a == b for b in scenes] for a in scenes], device=run.device)
        retrieved = same[torch.arange(len(pairs), device=run.device), best].float().mean()
        return {"pair": loss_pair.detach(), "mix": loss_mix.detach(), "retrieved": retrieved}

    def end(self) -> None:
        self.tower.requires_grad_(False).eval()
        for parameter in self.frozen_after:
            parameter.requires_grad_(False)

    @torch.no_grad()
    def _views(self) -> dict[Path, Tensor]:
        """Pooled features of augmented views of every image that can be read, computed once: [VIEWS, D] each."""
        run = self.run
        images = sorted({p.image for p in run.dataset.pairs})
        number = {path: place for place, path in enumerate(images)}

        def features(path: Path) -> Tensor:
            first = number[path] * VIEWS
            views = torch.stack([run.dataset.view(path, VIEW_SIDE, first + view) for view in range(VIEWS)])
            return pooled(run.networks.backbone(views.to(run.device))).cpu()

        return run.dataset.readable(tqdm(images, desc="image features", unit="image", disable=run.rank != 0), features)


class MixPretraining(Stage):
    """The audio encoder alone learns that a mix lies between its parts: whole clips keep the direction that they had.

    After the contrast it takes nearly every mix for the louder of its parts. And what it hears through any microphone
    gets the direction of the audio as recorded, else a strange recording would lie between the scenes, like a mix.
    Its batch statistics stay as they are, so that a direction depends on nothing else in the batch.
    """

    name = "mix pre-training"
    budget_share = 0.1
    begins_anew_only = True

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.encoder = run.networks.audio_encoder
        self.teacher = copy.deepcopy(self.encoder).eval().requires_grad_(False)
        self.encoder.eval().requires_grad_(True)
        rate = run.config.pretraining.learning_rate / 2
        self.optimizers = {"encoder": torch.optim.AdamW(self.encoder.parameters(), rate, weight_decay=WEIGHT_DECAY)}

    @property
    def steps(self) -> int:
        return int(self.run.config.pretraining.mix_steps)

    def step(self, number: int, batch: Batch, share: float) -> Mapping[str, Tensor]:
        run, settings = self.run, self.run.config.pretraining
        set_rate(self.optimizers["encoder"], falling_rate(settings.learning_rate / 2, 0.0, share))
        rng = run.rng(number, shared=True)
        _, waveforms = run.dataset.draw_sounds(settings.batch, settings.steps + number)
        waveform = augmented(waveforms, run.config.audio.sample_rate_hz, rng).to(run.device)
        weight = LEAST_SHARE + (1 - 2 * LEAST_SHARE) * torch.rand(len(waveform), 1, generator=rng).to(run.device)
        partner = torch.randperm(len(waveform), generator=rng).to(run.device)
        mixed = weight * waveform + (1 - weight) * waveform[partner]
        with run.precision.autocast():
            with torch.no_grad():
                whole = self.teacher.direction(at_one_level(waveforms).to(run.device)).float()
            kept, mixture = self.encoder.direction(torch.cat([waveform, mixed])).float().chunk(2)
        loss_kept = (1 - (kept * whole).sum(dim=1)).mean()
        loss_mix = (1 - (mixture * between(whole, whole[partner], weight)).sum(dim=1)).mean()
        self.optimizers["encoder"].zero_grad(set_to_none=True)
        (loss_kept + loss_mix).backward()
        self.optimizers["encoder"].step()
        return {"kept": loss_kept.detach(), "mix": loss_mix.detach()}

    def end(self) -> None:
        self.encoder.requires_grad_(False)

    def extra(self) -> dict[str, Any]:
        return {"teacher": self.teacher.state_dict()}

    def restore_extra(self, values: dict[str, Any]) -> None:
        self.teacher.load_state_dict(values["teacher"])


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
