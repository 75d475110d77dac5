"""Audio-visual correspondence: how near a picture and a sound lie in a space learnt from their co-occurrence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training import checkpoint
from training.checkpoint import CheckpointError
from training.evaluation.metrics import openl3
from training.evaluation.metrics.windows import Window
from training.kinds import kind_of
from training.models.backbone import Backbone


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
    """The substitute: the cosine of the towers of a run's audio-visual pre-training."""

    name = "avc_own"

    def __init__(self, path: Path, backbone: Backbone) -> None:
        model = towers_of(path)
        if model is None:
            raise CheckpointError(
                f"{path} holds no pair of towers that stayed as the audio-visual pre-training left them; name a "
                "checkpoint that does by --correspondence"
            )
        self.encoder, self.tower, self.rate = model
        self.backbone = backbone

    @torch.no_grad()
    def similarity(self, images: Tensor, windows: Sequence[Window]) -> Tensor:
        """[P, 3, H, W] in [-1, 1] and S clips -> cosines [P, S]."""
        audio = self.encoder.direction(torch.stack([window.waveform(self.rate) for window in windows]))
        cosines: Tensor = self.tower(self.backbone(images)) @ audio.T
        return cosines


def towers_of(path: Path) -> tuple[Any, Any, int] | None:
    """Audio encoder, image tower and sample rate of a checkpoint; None if they did not stay together."""
    values = checkpoint.load(path)
    config = checkpoint.config_of(values)
    networks = kind_of(config).networks(config)
    if networks.image_tower is None or not networks.towers_agree:
        return None
    checkpoint.restore(networks, values["networks"], path)
    networks.requires_grad_(False).eval()
    return networks.audio_encoder, networks.image_tower, config.audio.sample_rate_hz
