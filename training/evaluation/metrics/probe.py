"""The scene probe: a small network trained on real photographs alone, that says which scene a result looks like.

It shares nothing with what trained the generator, neither weights nor features, so it cannot have been flattered.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from training.config import DataConfig
from training.data import media
from training.data.index import Pair
from training.data.views import random_view

SIZE = 128
EPOCHS = 24


class SceneProbe(nn.Module):
    """[B, 3, H, W] in [-1, 1] -> logits [B, scenes]."""

    def __init__(self, scenes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width in (24, 48, 96, 128):
            layers += [nn.Conv2d(channels, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            layers += [nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(channels, scenes)

    def forward(self, image: Tensor) -> Tensor:
        if image.shape[-1] != SIZE:
            image = F.interpolate(image, size=(SIZE, SIZE), mode="area")
        return self.head(F.dropout(self.features(image).mean(dim=(2, 3)), 0.3, self.training))


def train_probe(pairs: Sequence[Pair], scenes: Sequence[str], seed: int = 0, epochs: int = EPOCHS) -> SceneProbe:
    """Train on every photograph of `pairs` that belongs to one of the scenes, each scene as often."""
    torch.manual_seed(seed)
    probe = SceneProbe(len(scenes))
    by_scene = [sorted({p.image for p in pairs if p.scene == scene}) for scene in scenes]
    per_epoch = max(len(images) for images in by_scene)
    optimizer = torch.optim.AdamW(probe.parameters(), 2e-3, weight_decay=0.05)
    steps = epochs * max(1, per_epoch * len(scenes) // 48)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    views = DataConfig(zoom=(1.0, 1.5))
    for step in tqdm(range(steps), desc="probe", unit="step"):
        rng = np.random.default_rng((seed, step))
        labels = rng.integers(len(scenes), size=48)
        chosen = [by_scene[label][int(rng.integers(len(by_scene[label])))] for label in labels]
        images = torch.stack([random_view(path, SIZE, views.zoom, rng) for path in chosen])
        loss = F.cross_entropy(probe(images), torch.from_numpy(labels), label_smoothing=0.1)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    return probe.eval()


@torch.no_grad()
def probe_accuracy(probe: SceneProbe, pairs: Sequence[Pair], scenes: Sequence[str]) -> float:
    """Mean over the scenes of the share of their photographs that the probe names rightly (middle squares)."""
    shares = []
    for label, scene in enumerate(scenes):
        images: list[Path] = sorted({p.image for p in pairs if p.scene == scene})
        named = probe(torch.stack([media.square(path, SIZE) for path in images])).argmax(dim=1)
        shares.append((named == label).float().mean().item())
    return float(np.mean(shares))
