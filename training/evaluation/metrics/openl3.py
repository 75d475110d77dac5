"""OpenL3's two towers in torch, with the published Keras weights (content "env", linear spectrogram, 512 numbers).

Cramer et al., "Look, Listen and Learn More", 2019. What a tower does was read from openl3 0.4 (layers, their order,
the spectrogram); the h5 layout is that of Keras's `save_weights`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from training.checkpoint import CheckpointError

SAMPLE_RATE_HZ = 48_000
HOP_SAMPLES = 4_800  # windows of one second, every 0.1 s
PICTURE_SIDE, RESIZED_SIDE = 224, 256
WIDTHS = (64, 128, 256, 512)
BATCH = 8  # windows at a time: the first layers take 13 MB for each


class Tower(nn.Module):
    """Four blocks of two 3x3 convolutions: [B, channels, H, W] -> [B, 512], the maximum over space."""

    def __init__(self, channels: int, norm_after_second_relu: bool, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        self.norms = nn.ModuleList([_norm(channels)])
        self.convolutions = nn.ModuleList()
        for width in widths:
            for inputs in (channels, width):
                self.convolutions.append(nn.Conv2d(inputs, width, 3, padding=1))
                self.norms.append(_norm(width))
            channels = width
        del self.norms[-1]  # the last convolution is the embedding itself
        # In the picture tower's first block alone the second norm follows its ReLU.
        self.norm_after_relu = 1 if norm_after_second_relu else None
        self.requires_grad_(False).eval()

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        x = self.norms[0](x)
        last = len(self.convolutions) - 1
        for number, convolution in enumerate(self.convolutions):
            x = convolution(x)
            if number == last:
                break
            norm = self.norms[number + 1]
            x = norm(F.relu(x)) if number == self.norm_after_relu else F.relu(norm(x))
            if number % 2:
                x = F.max_pool2d(x, 2)
        return x.amax(dim=(2, 3))


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)  # Keras's default


def audio_tower(path: Path) -> Tower:
    """`openl3_audio_linear_env.h5` -> a tower for `decibel_spectrogram`."""
    return _loaded(Tower(1, False), path)


def image_tower(path: Path) -> Tower:
    """`openl3_image_linear_env.h5` -> a tower for `middle_square`."""
    return _loaded(Tower(3, True), path)


def _loaded(tower: Tower, path: Path) -> Tower:
    norms, convolutions = _keras_layers(path)
    pairs = [(tower.norms, norms), (tower.convolutions, convolutions)]
    if any(len(mine) != len(theirs) for mine, theirs in pairs):
        raise CheckpointError(
            f"{path} has {len(norms)} norms and {len(convolutions)} convolutions; an OpenL3 tower has "
            f"{len(tower.norms)} and {len(tower.convolutions)}"
        )
    weights: dict[str, Tensor] = {}
    for number, (gamma, beta, mean, variance) in enumerate(norms):
        for key, value in (("weight", gamma), ("bias", beta), ("running_mean", mean), ("running_var", variance)):
            weights[f"norms.{number}.{key}"] = torch.from_numpy(value)
        weights[f"norms.{number}.num_batches_tracked"] = torch.tensor(0)
    for number, (kernel, bias) in enumerate(convolutions):
        weights[f"convolutions.{number}.weight"] = torch.from_numpy(kernel).permute(3, 2, 0, 1)  # from [H, W, in, out]
        weights[f"convolutions.{number}.bias"] = torch.from_numpy(bias)
    try:
        tower.load_state_dict(weights)
    except RuntimeError as exc:
        raise CheckpointError(f"{path} does not fit this OpenL3 tower (is it the other one?): {exc}") from exc
    return tower


def _keras_layers(path: Path) -> tuple[list[list[NDArray]], list[list[NDArray]]]:
    """The weights of the norms and of the convolutions, each in the order of the file's layers.

    `layer_names` and each layer's `weight_names` hold the order. Names count differently from file to file, so a layer
    is told by its shapes; files before openl3 0.4 begin with a spectrogram layer, which `decibel_spectrogram` replaces.
    """
    norms, convolutions = [], []
    try:
        with h5py.File(path) as file:
            layers = file if "layer_names" in file.attrs else file["model_weights"]
            for name in map(_text, layers.attrs["layer_names"]):
                names = [_text(weight) for weight in layers[name].attrs["weight_names"]]
                values = [np.array(layers[name][weight], dtype=np.float32) for weight in names]
                if "spectrogram" in name:
                    continue
                if len(values) == 4:
                    norms.append(values)
                elif len(values) == 2 and values[0].ndim == 4:
                    convolutions.append(values)
                elif values:
                    raise CheckpointError(f"{path}: the layer {name} is none of an OpenL3 tower")
    except (OSError, KeyError) as exc:
        raise CheckpointError(f"{path} is not a readable file of Keras weights: {exc}") from exc
    return norms, convolutions


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def decibel_spectrogram(waveform: Tensor) -> Tensor:
    """Mono [N] at 48 kHz -> [windows, 1, 257, 197], each window in decibels below its own maximum, -80 at the least.

    As kapre 0.1.4 did it: ten times the logarithm of the *magnitude*. The first window is centred on the first sample,
    and the last one filled with zeros.
    """
    centred = F.pad(waveform, (SAMPLE_RATE_HZ // 2, 0))
    beyond = max(len(centred) - SAMPLE_RATE_HZ, 0)
    centred = F.pad(centred, (0, SAMPLE_RATE_HZ + -(-beyond // HOP_SAMPLES) * HOP_SAMPLES - len(centred)))
    windows = centred.unfold(0, SAMPLE_RATE_HZ, HOP_SAMPLES)
    hann = torch.hann_window(512)
    magnitude = torch.stft(windows, 512, 242, window=hann, center=False, return_complex=True).abs()
    decibels = 10 * magnitude.clamp(min=1e-10).log10()
    return (decibels - decibels.amax(dim=(1, 2), keepdim=True)).clamp(min=-80)[:, None]


def middle_square(pictures: Tensor) -> Tensor:
    """[B, 3, H, W] in [-1, 1] -> its middle 224 px, after the short side was brought down to 256. Raises ValueError."""
    short = min(pictures.shape[2:])
    if short < PICTURE_SIDE:
        raise ValueError(f"OpenL3 needs pictures of {PICTURE_SIDE} px at least: evaluate with --size 224 or more")
    if short > RESIZED_SIDE:
        size = [round(side * RESIZED_SIDE / short) for side in pictures.shape[2:]]
        pictures = F.interpolate(pictures, size=size, mode="bilinear", antialias=True, align_corners=False)
    top, left = ((side - PICTURE_SIDE) // 2 for side in pictures.shape[2:])
    return pictures[:, :, top : top + PICTURE_SIDE, left : left + PICTURE_SIDE]


def sound_directions(tower: Tower, waveform: Tensor) -> Tensor:
    """[N] at 48 kHz -> [windows, 512], each of length 1."""
    windows = decibel_spectrogram(waveform).split(BATCH)
    return F.normalize(torch.cat([tower(batch) for batch in windows]), dim=-1)


def picture_directions(tower: Tower, pictures: Tensor) -> Tensor:
    """[B, 3, H, W] in [-1, 1] -> [B, 512], each of length 1."""
    return F.normalize(torch.cat([tower(batch) for batch in middle_square(pictures).split(BATCH)]), dim=-1)
