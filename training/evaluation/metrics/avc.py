"""Audio-visual correspondence: how near a picture and a sound lie in a space learnt from their co-occurrence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from training import checkpoint
from training.checkpoint import CheckpointError
from training.evaluation.metrics import openl3
from training.evaluation.metrics.windows import Window
from training.models.backbone import Backbone
from training.models.image_tower import ImageTower
from training.models.own.audio_encoder import AudioEncoder


class OpenL3Correspondence:
    """The paper's AVC: the cosine of OpenL3's towers, the mean over the one-second windows of the sound."""

    name = "AVC (OpenL3)"

    def __init__(self, audio: Path, image: Path) -> None:
        self.audio, self.image = openl3.audio_tower(audio), openl3.image_tower(image)
        self._heard: dict[Window, Tensor] = {}

    def similarity(self, pictures: Tensor, windows: Sequence[Window]) -> Tensor:
        """[P, 3, H, W] in [-1, 1] and S sounds -> cosines [P, S]."""
        return openl3.picture_directions(self.image, pictures) @ torch.stack([self._sound(w) for w in windows]).T

    def _sound(self, window: Window) -> Tensor:
        """The mean of the windows' directions: its product with a picture's is the mean of their cosines."""
        if window not in self._heard:
            waveform = window.waveform(openl3.SAMPLE_RATE_HZ)
            self._heard[window] = openl3.sound_directions(self.audio, waveform).mean(dim=0)
        return self._heard[window]


class OwnCorrespondence:
    """The substitute: the cosine in the correspondence net that a run trained on its training split."""

    name = "avc_own"

    def __init__(self, path: Path, backbone: Backbone) -> None:
        values = checkpoint.load(path)
        config = checkpoint.config_of(values)
        if not config.correspondence.steps or config.correspondence.finetuned:  # finetuned: the towers drifted apart
            raise CheckpointError(
                f"{path} has no correspondence net; name a checkpoint of the preset `default` or `demo` by "
                "--correspondence"
            )
        self.backbone, self.rate = backbone, config.audio.sample_rate_hz
        self.encoder = AudioEncoder(config.audio)
        self.tower = ImageTower(config.correspondence.hidden, config.audio.embedding_dim)
        for part, prefix in ((self.encoder, "audio_encoder."), (self.tower, "image_tower.")):
            weights = {k.removeprefix(prefix): v for k, v in values["networks"].items() if k.startswith(prefix)}
            checkpoint.restore(part, weights, path)
            part.requires_grad_(False).eval()

    @torch.no_grad()
    def similarity(self, pictures: Tensor, windows: Sequence[Window]) -> Tensor:
        """[P, 3, H, W] in [-1, 1] and S sounds -> cosines [P, S]."""
        sounds = self.encoder.direction(torch.stack([window.waveform(self.rate) for window in windows]))
        return self.tower(self.backbone(pictures)) @ sounds.T
