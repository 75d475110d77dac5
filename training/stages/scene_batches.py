"""The batches of style training: sources, photographs of one scene with a like layout, and hearings of the scene."""

from __future__ import annotations

from collections.abc import Sequence, Set
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from training.data import media
from training.data.audio_augmentation import hear
from training.data.index import Pair
from training.data.resident import ResidentImages
from training.data.views import ViewBox
from training.models.scene_audio_encoder import SceneAudioEncoder

SHORT_SIDE = 256  # of the photographs that are kept in memory
NEIGHBORS = 14  # photographs of a scene that are laid out most like a source: one of them is drawn
LAYOUT_SIDE, LAYOUT_CELLS = 96, (3, 2)
SCENE_SOURCE_WEIGHT = 0.4  # of a photograph of another scene among the sources, beside one of no scene
HEARINGS = 8  # of each recording
LEAST_LENGTH = 0.5  # of a hearing's embedding at full loudness: a shorter one is of no scene
HEARD_SHARE = 0.7  # of the draws; the others lie around the scene's mean direction
SPREAD = 0.35  # the most that these lie off it
LEAST_STRENGTH = 0.55


class SceneBatches:
    """Everything lies in memory: photographs as uint8, hearings as unit vectors. Draws depend on their generator alone.

    pairs: of the training split. images: all photographs of it. of_no_scene: those that are restyled into every scene;
    such as occur in pairs are counterparts, examples of that scene as well.
    """

    def __init__(self, pairs: Sequence[Pair], images: Sequence[Path], of_no_scene: Set[Path], batch: int) -> None:
        self.batch = batch
        self.scenes = sorted({pair.scene for pair in pairs})
        scene_of = {pair.image: self.scenes.index(pair.scene) for pair in pairs}
        self.pixels = [_reduced(media.read_image(path)) for path in images]
        self.scene_of = np.array([scene_of.get(path, -1) for path in images])
        self.of_no_scene = np.array([path in of_no_scene for path in images])
        self.recordings = {
            scene: sorted({pair.sound for pair in pairs if pair.scene == scene and pair.sound is not None})
            for scene in self.scenes
        }
        self.layout = torch.empty(0)
        self.resident: ResidentImages | None = None
        self.directions: list[Tensor] = []

    @torch.no_grad()
    def prepare(self, backbone: torch.nn.Module, audio_encoder: SceneAudioEncoder, seed: int) -> None:
        """Layouts of the photographs by the frozen features, and directions of the recordings by the audio encoder."""
        device = next(backbone.parameters()).device
        if device.type != "cpu":  # draws are cut out and scaled there
            self.resident = ResidentImages(self.pixels, device)
        rows = []
        for first in range(0, len(self.pixels), 32):
            small = [Image.fromarray(p).resize((LAYOUT_SIDE, LAYOUT_SIDE)) for p in self.pixels[first : first + 32]]
            images = torch.stack([media.to_tensor(np.asarray(image)) for image in small])
            deepest = backbone.features(images.to(device))[-1]  # type: ignore[operator]
            rows.append(F.adaptive_avg_pool2d(deepest, LAYOUT_CELLS).flatten(1).cpu())
        layout = torch.cat(rows)
        # Without its scene's mean, so that what is left is where things lie
        self.own_layout = F.normalize(layout - layout.mean(dim=0), dim=1)
        self.layout = torch.empty_like(layout)
        for scene in range(len(self.scenes)):
            inside = torch.from_numpy(self.scene_of == scene)
            self.layout[inside] = F.normalize(layout[inside] - layout[inside].mean(dim=0), dim=1)
        self.directions = [self._hearings(audio_encoder, scene, seed) for scene in self.scenes]

    def draw(self, step: int, crop: int, seed: int) -> dict[str, Tensor]:
        """One scene's batch: `scene` [], `source` and `real` [B, 3, crop, crop] in [-1, 1], `embedding` [B, E].

        `source_heights` and `real_heights` [B, 2]: where these begin and end in their photographs, in 0..1.
        Scenes follow each other in an order that is drawn anew for every round.
        """
        rng = np.random.default_rng((seed, step))
        order = np.random.default_rng((seed, step // len(self.scenes), 1)).permutation(len(self.scenes))
        scene = int(order[step % len(self.scenes)])
        weights = np.where(self.of_no_scene, 1.0, SCENE_SOURCE_WEIGHT * (self.scene_of != scene))
        sources = rng.choice(len(self.pixels), self.batch, p=weights / weights.sum())
        of_scene = np.flatnonzero(self.scene_of == scene)
        likeness = self.own_layout[sources] @ self.layout[of_scene].T
        nearest = likeness.topk(min(NEIGHBORS, len(of_scene)), dim=1).indices.numpy()
        partners = [of_scene[row[int(rng.integers(len(row)))]] for row in nearest]
        strength = torch.from_numpy(rng.uniform(LEAST_STRENGTH, 1.0, (self.batch, 1))).float()
        views = {
            name: [self._view(each, crop, rng) for each in numbers]
            for name, numbers in (("source", sources), ("real", partners))
        }
        return {
            "scene": torch.tensor(scene),
            **{name: torch.stack([image for image, _ in of_name]) for name, of_name in views.items()},
            **{f"{name}_heights": torch.tensor([span for _, span in of_name]) for name, of_name in views.items()},
            "embedding": strength * self.hear(scene, self.batch, rng),
        }

    def hear(self, scene: int, count: int, rng: np.random.Generator) -> Tensor:
        """Unit directions [count, E] of hearings of the scene."""
        known = self.directions[scene]
        heard = known[rng.integers(len(known), size=count)]
        noise = F.normalize(torch.from_numpy(rng.standard_normal(heard.shape)).float(), dim=1)
        spread = torch.from_numpy(rng.uniform(0, SPREAD, (count, 1))).float()
        around = F.normalize(F.normalize(known.mean(dim=0), dim=0) + spread * noise, dim=1)
        choice = torch.from_numpy(rng.random((count, 1)) < HEARD_SHARE)
        return torch.where(choice, heard, around)

    def _view(self, number: int, crop: int, rng: np.random.Generator) -> tuple[Tensor, tuple[float, float]]:
        """A square of a photograph at any scale between its own pixels and its whole short side, mirrored at times.

        Also where it begins and ends, of the photograph's height.
        """
        photograph: NDArray[np.uint8] = self.pixels[number]
        height, width = photograph.shape[:2]
        side = min(round(float(np.exp(rng.uniform(np.log(crop), np.log(max(crop, SHORT_SIDE)))))), height, width)
        top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
        is_mirrored, heights = bool(rng.random() < 0.5), (top / height, (top + side) / height)
        if self.resident is not None:
            box = ViewBox((left, top, left + side, top + side), is_mirrored)
            return self.resident.view(number, box, crop, mode="bilinear"), heights
        part = photograph[top : top + side, left : left + side]
        if side != crop:
            part = np.asarray(Image.fromarray(part).resize((crop, crop), Image.Resampling.BILINEAR))
        return media.to_tensor(part[:, ::-1] if is_mirrored else part), heights

    def _hearings(self, audio_encoder: SceneAudioEncoder, scene: str, seed: int) -> Tensor:
        config = audio_encoder.config
        rows = []
        for number, path in enumerate(self.recordings[scene]):
            waveform = media.read_sound(path, config.sample_rate_hz).numpy()
            for hearing in range(HEARINGS):
                rng = np.random.default_rng((seed, number, hearing))
                window = hear(waveform, config.sample_rate_hz, config.clip_samples, rng)
                rows.append(torch.from_numpy(np.asarray(window, np.float32)))
        embeddings = _embedded(audio_encoder, torch.stack(rows))
        known = embeddings[embeddings.norm(dim=1) > LEAST_LENGTH]
        if not len(known):
            raise ValueError(f"the audio encoder hears no scene in the recordings of {scene!r}")
        return F.normalize(known, dim=1)


def _embedded(audio_encoder: SceneAudioEncoder, windows: Tensor) -> Tensor:
    """[W, N] -> the scenes' embeddings [W, E]; both in the host's memory."""
    device = next(audio_encoder.parameters()).device
    certain = []
    for part in windows.split(32):
        mel_power, _ = audio_encoder.spectrogram(part.to(device))
        certain.append(audio_encoder.scene_embedding(audio_encoder.kind_probabilities(mel_power)).cpu())
    return torch.cat(certain)


def _reduced(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    image = Image.fromarray(pixels)
    scale = SHORT_SIDE / min(image.size)
    size = (max(SHORT_SIDE, round(image.width * scale)), max(SHORT_SIDE, round(image.height * scale)))
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS))
