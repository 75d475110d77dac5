"""The spectrogram: nnAudio's STFT magnitude, and its alignment to an image for the early-fusion discriminator."""

from __future__ import annotations

from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from nnAudio.features.stft import STFT
from torch import Tensor, nn

from training.config import AudioConfig

ALIGNED_BINS = 256  # the bins and the frames that are stacked onto an image of 256 px, one by one


class StftConfig(Protocol):
    """What a short-time Fourier transform needs of a configuration."""

    @property
    def sample_rate_hz(self) -> int: ...
    @property
    def n_fft(self) -> int: ...
    @property
    def window_samples(self) -> int: ...
    @property
    def hop_samples(self) -> int: ...


def make_stft(config: StftConfig, output_format: Literal["Magnitude", "Complex"]) -> STFT:
    """A frozen transform with a Hann window: [B, N] -> [B, n_fft / 2 + 1, 1 + N / hop] ("Complex": [..., 2])."""
    return STFT(
        n_fft=config.n_fft,
        win_length=config.window_samples,
        hop_length=config.hop_samples,
        sr=config.sample_rate_hz,
        output_format=output_format,
        trainable=False,
        verbose=False,
    )


class Spectrogram(nn.Module):
    """Magnitude of the short-time Fourier transform (512 points, 25 ms window, 10 ms hop at 16 kHz)."""

    def __init__(self, config: AudioConfig) -> None:
        super().__init__()
        self.stft = make_stft(config, "Magnitude")

    def forward(self, waveform: Tensor) -> Tensor:
        """waveform: [B, N], full scale = 1. Returns [B, 1, n_fft / 2 + 1, 1 + N / hop]: [B, 1, 257, 301] for 3 s."""
        with torch.autocast(waveform.device.type, enabled=False):
            return self.stft(waveform.float()).unsqueeze(1)


def peak_normalized(waveform: Tensor) -> Tensor:
    """Divide by 1.1 of the peak, as the authors' loader does: it erases loudness. Silence stays (theirs turns NaN)."""
    peak = waveform.abs().amax(dim=-1, keepdim=True)
    return waveform / (1.1 * peak).clamp(min=1e-8)


def align_to_image(spectrogram: Tensor, height: int, width: int) -> Tensor:
    """A spectrogram [B, 1, F, T] as [B, 3, height, width], to be stacked onto an image.

    The authors stack the first 256 bins and frames onto 256 x 256 pixels. Images of another size get these, resized.
    """
    aligned = spectrogram[:, :, :ALIGNED_BINS, :ALIGNED_BINS]
    if aligned.shape[2:] != (height, width):
        aligned = F.interpolate(aligned, size=(height, width), mode="bilinear", align_corners=False)
    return aligned.expand(-1, 3, -1, -1)
