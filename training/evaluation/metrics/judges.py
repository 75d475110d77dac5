"""Who judges a method's pictures: the paper's metrics where their weights are given, substitutes always."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from training.data import media
from training.data.index import Pair
from training.evaluation.metrics.avc import OpenL3Correspondence, OwnCorrespondence, towers_of
from training.evaluation.metrics.clip import Clip
from training.evaluation.metrics.findings import Findings
from training.evaluation.metrics.frechet import EfficientNetFeatures, Gaussian, InceptionFeatures, sample_warning
from training.evaluation.metrics.probe import SceneProbe
from training.evaluation.metrics.windows import Window
from training.models.backbone import Backbone

REFERENCES = 200  # photographs of a scene, at the most, that Fréchet distances are taken to
FID, FRECHET = "FID (Clean-FID)", "frechet_efficientnet"
SHUFFLED = ", shuffled sound"


@dataclass(frozen=True)
class JudgeWeights:
    """Files of published weights. What is None is left out, and said to be."""

    openl3_audio: Path | None = None
    openl3_image: Path | None = None
    inception: Path | None = None
    clip: Path | None = None
    correspondence: Path | None = None  # a checkpoint whose correspondence net judges; None: the first one evaluated


@dataclass(frozen=True)
class Look:
    """What the judges say of the S pictures made from one photograph with S sounds, one of each scene."""

    labels: Tensor  # [S], the scene that the probe sees
    similarities: dict[str, Tensor]  # [S pictures, S sounds]
    features: dict[str, Tensor]  # [P, D] of the different pictures: S, or 1 where the sound changes nothing


class Judges:
    """Every judge, and what the Fréchet distances are taken to: training photographs that occur with the sounds."""

    def __init__(
        self,
        probe: SceneProbe,
        scenes: Sequence[str],
        train_pairs: Sequence[Pair],
        size: int,
        weights: JudgeWeights,
        own: Path,
    ) -> None:
        self.probe, self.scenes = probe, list(scenes)
        backbone = Backbone()
        self.notes: list[str] = []
        self.by_sound: list[OpenL3Correspondence | OwnCorrespondence] = []
        if weights.openl3_audio and weights.openl3_image:
            self.by_sound.append(OpenL3Correspondence(weights.openl3_audio, weights.openl3_image))
        elif weights.openl3_audio or weights.openl3_image:
            raise ValueError("OpenL3 needs both towers: --openl3-audio and --openl3-image")
        else:
            self._left_out(OpenL3Correspondence.name, "--openl3-audio and --openl3-image")
        if weights.correspondence or towers_of(own) is not None:
            self.by_sound.append(OwnCorrespondence(own, backbone))
        else:
            self._left_out(OwnCorrespondence.name, "--correspondence: the first checkpoint has no such towers")
        self.clip = Clip(weights.clip) if weights.clip else None
        if self.clip is None:
            self._left_out(Clip.name, "--clip; it has no substitute")
        self.features: dict[str, nn.Module] = {FRECHET: EfficientNetFeatures(backbone)}
        if weights.inception:
            self.features[FID] = InceptionFeatures(weights.inception)
        else:
            self._left_out(FID, "--inception")
        self.reference_count, self.references = self._look_at_references(train_pairs, size)

    def _left_out(self, name: str, needs: str) -> None:
        self.notes.append(f"Left out: {name} (needs {needs}).")

    def _look_at_references(self, pairs: Sequence[Pair], size: int) -> tuple[int, dict[str, Gaussian]]:
        """As many of every scene, so that none weighs more than its sounds do."""
        rng = np.random.default_rng(0)
        by_scene = [sorted({p.image for p in pairs if p.scene == scene}) for scene in self.scenes]
        count = min(REFERENCES, *map(len, by_scene))
        chosen = [images[i] for images in by_scene for i in rng.permutation(len(images))[:count]]
        found: dict[str, list[Tensor]] = {name: [] for name in self.features}
        for path in tqdm(chosen, desc="photographs that occur with the sounds", unit="photograph"):
            image = media.square(path, size).unsqueeze(0)
            for name, net in self.features.items():
                found[name].append(net(image))
        return len(chosen), {name: Gaussian.of(torch.cat(parts).numpy()) for name, parts in found.items()}

    @torch.no_grad()
    def look(self, pictures: Tensor, windows: Sequence[Window]) -> Look:
        """pictures: [S, 3, H, W] in [-1, 1], by the scene of their sound, or [1, 3, H, W]: the same for every sound."""
        scenes = len(self.scenes)
        similarities = {judge.name: judge.similarity(pictures, windows) for judge in self.by_sound}
        if self.clip is not None:
            similarities[self.clip.name] = self.clip.similarity(pictures, self.scenes)
        return Look(
            self.probe(pictures).argmax(dim=1).expand(scenes),
            {name: matrix.expand(scenes, -1) for name, matrix in similarities.items()},
            {name: net(pictures) for name, net in self.features.items()},
        )

    def note(
        self, findings: Findings, look: Look, source: str, shift: int = 0, places: Sequence[int] | None = None
    ) -> None:
        """Write down what was seen, each picture judged against its own sound, or the sound `shift` scenes further.

        `…, shuffled sound` is the mean of the same picture against each sound but that one. `places`: the scenes whose
        pictures count (None: all).
        """
        for place in range(len(self.scenes)) if places is None else places:
            judged = (place + shift) % len(self.scenes)
            right = bool(look.labels[place] == judged)
            findings.note("right scene", right, source)
            findings.note(f"right scene: {self.scenes[judged]}", right, source)
            others = [other for other in range(len(self.scenes)) if other != judged]
            if others:
                findings.note("right scene" + SHUFFLED, (not right) / len(others), source)
            for name, matrix in look.similarities.items():
                findings.note(name, matrix[place, judged].item(), source)
                findings.note(f"{name}: {self.scenes[judged]}", matrix[place, judged].item(), source)
                if others:
                    findings.note(name + SHUFFLED, matrix[place, others].mean().item(), source)
        if not shift:  # a set of pictures is the same set under other sounds
            for name, features in look.features.items():
                findings.note_features(name, features, source)

    def sample_notes(self, pictures: int) -> list[str]:
        """What to say of Fréchet distances from so few pictures."""
        warnings = [
            sample_warning(name, pictures, self.reference_count, len(reference.mean))
            for name, reference in self.references.items()
        ]
        return [warning for warning in warnings if warning]
