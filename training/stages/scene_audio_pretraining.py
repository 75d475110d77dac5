"""Train the audio encoder on recordings by kind, with directions from photographs of the scenes (paired by scene)."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from training.data import media
from training.data.hearing_bank import BatchSampler, HearingBank, build_bank, masked, with_floor
from training.data.sound_recordings import Recording
from training.models.audio_backbone import BackboneClassifier, load_yamnet
from training.models.backbone import Backbone, pooled
from training.models.scene_audio_encoder import SceneAudioConfig, SceneAudioEncoder
from training.models.scene_prototypes import scene_directions
from training.models.small_audio_classifier import SmallAudioClassifier

PHOTOGRAPH_SIDE = 128
Classifier = SmallAudioClassifier | BackboneClassifier
_PHOTOGRAPHS = (".jpg", ".jpeg", ".png", ".webp")


@dataclass(frozen=True)
class SceneAudioTraining:
    """How long and by what the encoder learns."""

    steps: int = 1500
    batch: int = 48
    learning_rate: float = 2e-3
    backbone_learning_rate: float = 1e-4  # of layers that were trained before
    weight_decay: float = 0.05
    warmup_steps: int = 60
    label_smoothing: float = 0.03
    embedding_weight: float = 0.5  # of the squared distance to the embedding that the shares give
    crop_frames: int = 192  # of every spectrogram, in the first 80 % of the steps: two thirds of the price
    whole_from: float = 0.8
    average_decay: float = 0.995  # of the running mean of the weights, which is what is kept
    hearings: int = 24  # of each recording
    synthetic: int = 1200
    kind_weights: tuple[tuple[str, float], ...] = (  # what is mistaken most, or matters most, is heard more often
        ("rain", 1.5),
        ("snow", 1.3),
        ("desert", 1.3),
        ("autumn", 1.2),
        ("noise", 1.2),
        ("city", 1.2),
        ("wind", 1.2),
        ("speech", 0.8),
        ("impacts", 0.4),
    )
    bf16: bool = True
    seed: int = 0


def train_scene_audio_encoder(
    recordings: Sequence[Recording],
    photographs: dict[str, Tensor] | None,
    config: SceneAudioConfig,
    training: SceneAudioTraining,
    directions: Tensor | None = None,
    yamnet: Path | None = None,
) -> SceneAudioEncoder:
    """An encoder that has heard `recordings`, in evaluation mode.

    yamnet: the graph that a classifier on YAMNet's layers begins with; without it they begin at random.
    photographs: scene -> backbone features [n, D]; they place the directions unless `directions` [kinds, E] are given.
    The loss is the cross-entropy with the shares of what sounds, and the squared distance of the embedding (at full
    strength) to the one that these shares give. Raises MediaError, and ValueError for a kind that `config` lacks.
    """
    if unknown := {recording.kind for recording in recordings} - set(config.kinds):
        raise ValueError(f"the encoder's configuration has no kind {', '.join(sorted(unknown))}")
    torch.manual_seed(training.seed)
    rng = np.random.default_rng(training.seed)
    encoder = SceneAudioEncoder(config)
    if directions is None:
        if photographs is None or list(photographs) != list(config.scenes):
            raise ValueError(f"photographs of {', '.join(config.scenes)} are needed, in this order")
        directions = scene_directions(photographs, len(config.strangers), config.embedding_dim, training.seed)
    encoder.prototypes.copy_(directions)
    if yamnet is not None and isinstance(encoder.classifier, BackboneClassifier):
        load_yamnet(encoder.classifier.backbone, yamnet)

    bank = encoder_bank(encoder, recordings, training)
    sampler = BatchSampler.of(bank, config.kinds, len(config.scenes), dict(training.kind_weights))
    classifier = encoder.classifier.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(_parameter_groups(classifier, training), weight_decay=training.weight_decay)
    rates = [group["lr"] for group in optimizer.param_groups]
    average = copy.deepcopy(classifier.state_dict())

    progress = tqdm(range(training.steps), desc="audio encoder", unit="step")
    for step in progress:
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * _schedule(step, training)
        spectrogram, shares = _batch(classifier, sampler, training, step, rng)
        with torch.autocast("cpu", torch.bfloat16, enabled=training.bf16):
            logits = classifier(spectrogram)
        loss = kind_loss(encoder, logits.float(), shares, training)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        _follow(average, classifier.state_dict(), min(training.average_decay, (step + 1) / (step + 10)))
        progress.set_postfix(loss=f"{loss.item():.3f}")
    classifier.load_state_dict(average)
    return encoder.eval().requires_grad_(False)


def kind_loss(encoder: SceneAudioEncoder, logits: Tensor, shares: Tensor, training: SceneAudioTraining) -> Tensor:
    """Cross-entropy with the smoothed shares [B, kinds], and the distance between the embeddings. A scalar."""
    smoothing = training.label_smoothing
    target = (1 - smoothing) * shares + smoothing / shares.shape[1]
    cross_entropy = -(target * F.log_softmax(logits, dim=1)).sum(dim=1).mean()
    distance = encoder.scene_embedding(F.softmax(logits, dim=1)) - encoder.scene_embedding(shares)
    return cross_entropy + training.embedding_weight * distance.square().sum(dim=1).mean()


def encoder_bank(
    encoder: SceneAudioEncoder, recordings: Sequence[Recording], training: SceneAudioTraining
) -> HearingBank:
    """The bank of these recordings as this encoder's spectrogram sees them. Raises MediaError."""
    config = encoder.config
    return build_bank(
        recordings,
        lambda waveforms: encoder.spectrogram(waveforms)[0],
        config.sample_rate_hz,
        config.clip_samples,
        training.hearings,
        training.synthetic,
        training.seed,
    )


@torch.no_grad()
def photograph_features(folders: dict[str, Path], most: int, seed: int) -> dict[str, Tensor]:
    """Pooled features [n, D] of at most `most` photographs of each scene, a random square of each; or MediaError."""
    backbone = Backbone()
    rng = np.random.default_rng(seed)
    features = {}
    for scene, folder in folders.items():
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in _PHOTOGRAPHS)
        if not paths:
            raise media.MediaError(f"{folder} holds no photographs")
        rng.shuffle(paths)
        rows = []
        for path in tqdm(paths[:most], desc=f"photographs of {scene}", unit="image"):
            pixels = media.to_tensor(media.read_image(path))
            side = min(pixels.shape[1:])
            top, left = (int(rng.integers(0, extent - side + 1)) for extent in pixels.shape[1:])
            square = pixels[None, :, top : top + side, left : left + side]
            rows.append(pooled(backbone(F.interpolate(square, size=(PHOTOGRAPH_SIDE,) * 2, mode="area")))[0])
        features[scene] = torch.stack(rows)
    return features


def fit_temperature(logits: Tensor, kinds: Tensor) -> float:
    """The temperature at which the softmax of held-out `logits` [n, K] fits their kinds [n] best (Guo et al. 2017)."""
    candidates = torch.logspace(math.log10(0.5), math.log10(4), 61)
    losses = [float(F.cross_entropy(logits / candidate, kinds)) for candidate in candidates]
    return float(candidates[int(np.argmin(losses))])


def _parameter_groups(classifier: Classifier, training: SceneAudioTraining) -> list[dict[str, Any]]:
    """What was trained before learns at a rate of its own."""
    backbone = list(classifier.backbone.parameters()) if isinstance(classifier, BackboneClassifier) else []
    known = set(map(id, backbone))
    rest = [parameter for parameter in classifier.parameters() if id(parameter) not in known]
    groups = [{"params": rest, "lr": training.learning_rate}]
    return groups + ([{"params": backbone, "lr": training.backbone_learning_rate}] if backbone else [])


def _batch(
    classifier: Classifier, sampler: BatchSampler, training: SceneAudioTraining, step: int, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Spectrograms [B, C, M, T] as the classifier gets them, and shares [B, kinds]."""
    power, shares = sampler.draw(training.batch, rng)
    spectrogram = masked(classifier.spectrogram(with_floor(power, rng)), rng)
    frames = spectrogram.shape[3]
    if step < training.whole_from * training.steps and training.crop_frames < frames:
        start = int(rng.integers(0, frames - training.crop_frames + 1))
        spectrogram = spectrogram[..., start : start + training.crop_frames]
    return spectrogram.contiguous(memory_format=torch.channels_last), shares


def _schedule(step: int, training: SceneAudioTraining) -> float:
    """Linear warm-up, then half a cosine to 0."""
    return min(1, (step + 1) / training.warmup_steps) * (0.5 + 0.5 * math.cos(math.pi * step / training.steps))


@torch.no_grad()
def _follow(average: dict[str, Tensor], state: dict[str, Tensor], decay: float) -> None:
    for name, value in state.items():
        if value.is_floating_point():
            average[name].mul_(decay).add_(value, alpha=1 - decay)
        else:
            average[name].copy_(value)
