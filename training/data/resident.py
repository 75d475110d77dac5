"""The dataset in the memory of the device that trains: it crops, scales and mirrors there, and no process loads ahead.

Draws are those of `CoOccurrences`: the same numbers decide which files are seen and which part of them. The pixels
differ by rounding, and by up to half a pixel of the photograph in where a part begins.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from training.config import AudioConfig, DataConfig
from training.data import media
from training.data.conditions import ConditionProvider
from training.data.dataset import CoOccurrences
from training.data.views import ViewBox, draw_box


class ResidentImages:
    """Images [H, W, 3] of bytes on a device."""

    def __init__(self, images: Iterable[NDArray[np.uint8]], device: torch.device) -> None:
        self.images = [torch.from_numpy(np.array(image)).to(device, non_blocking=True) for image in images]

    def view(self, number: int, drawn: ViewBox, crop: int, mode: str = "bicubic", max_red: float = 1.0) -> Tensor:
        """[3, crop, crop] in [-1, 1] of one image."""
        image = self.images[number]
        left, top, right, bottom = (round(edge) for edge in drawn.box)
        part = image[top : max(bottom, top + 1), left : max(right, left + 1)].permute(2, 0, 1)[None].float()
        if part.shape[2:] != (crop, crop):
            part = F.interpolate(part, (crop, crop), mode=mode, antialias=True, align_corners=False)
            part = part.round().clamp(0, 255)
        pixels = part[0]
        if max_red < 1:
            most = pixels[1:].amax(dim=0) + round(255 * max_red)
            pixels = torch.cat([torch.minimum(pixels[:1], most), pixels[1:]])
        if drawn.is_mirrored:
            pixels = pixels.flip(2)
        return pixels.div(127.5).sub(1)


class ResidentCoOccurrences(CoOccurrences):
    """`CoOccurrences` with every file of the split decoded onto a device; items are on it."""

    is_resident = True

    def __init__(
        self,
        index: Path,
        split: str,
        data: DataConfig,
        audio: AudioConfig,
        seed: int,
        conditions: ConditionProvider | None,
        device: torch.device,
    ) -> None:
        super().__init__(index, split, data, audio, seed, conditions)
        images: dict[Path, NDArray[np.uint8]] = {}
        self._unreadable: dict[Path, media.MediaError] = {}
        for path in self.images:
            self._decode(path, images, media.read_image)
        self._number = {path: number for number, path in enumerate(images)}
        self._resident = ResidentImages(images.values(), device)
        self._waveforms: dict[Path, Tensor] = {}
        for path in sorted({pair.sound for pair in self.pairs if pair.sound is not None}):
            self._decode(
                path, self._waveforms, lambda path: media.read_sound(path, audio.sample_rate_hz).clone().to(device)
            )

    def _decode(self, path: Path, into: dict[Path, Any], read: Any) -> None:
        try:
            into[path] = read(path)
        except media.MediaError as exc:  # raised when it is drawn, as from the files
            self._unreadable[path] = exc

    def _make_view(self, path: Path, crop: int, rng: np.random.Generator, max_red: float) -> Tensor:
        if path in self._unreadable:
            raise self._unreadable[path]
        number = self._number[path]
        height, width = self._resident.images[number].shape[:2]
        drawn = draw_box(width, height, crop, self.data.zoom, rng)
        return self._resident.view(number, drawn, crop, max_red=max_red)

    def _waveform(self, path: Path) -> Tensor:
        if path in self._unreadable:
            raise self._unreadable[path]
        return self._waveforms[path]
