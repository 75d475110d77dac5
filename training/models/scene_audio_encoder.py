"""The audio encoder f: its embedding points at the scene that is heard; its length is loudness times certainty."""

from __future__ import annotations

import math
import pickle
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.models.audio_backbone import BackboneClassifier
from training.models.small_audio_classifier import SmallAudioClassifier
from training.models.spectrogram import make_stft

SILENCE_POWER = 1e-10  # -100 dBFS: nothing below is amplified further

EFFECT_CENTER_LUFS = -41.0
EFFECT_SLOPE_DB = 9.0
EFFECT_FLOOR_LUFS = -70.0


@dataclass(frozen=True)
class SceneAudioConfig:
    """How a waveform becomes an embedding. `kinds`: what is told apart, the scenes first."""

    scenes: tuple[str, ...] = ("snow", "rain", "storm", "summer", "autumn", "night", "desert")
    strangers: tuple[str, ...] = (
        "speech",
        "music",
        "city",
        "noise",
        "fire",
        "sea",
        "stream",
        "footsteps",
        "wind",
        "impacts",
    )
    sample_rate_hz: int = 16_000
    clip_seconds: float = 3.0
    n_fft: int = 512
    window_samples: int = 400  # 25 ms
    hop_samples: int = 160  # 10 ms
    mel_bands: int = 64
    classifier: Literal["small", "yamnet"] = "small"  # a small network, or one on the layers of YAMNet
    widths: tuple[int, ...] = (24, 48, 96, 160)  # of the small one
    dropout: float = 0.2
    embedding_dim: int = 64

    @property
    def kinds(self) -> tuple[str, ...]:
        return self.scenes + self.strangers

    @property
    def clip_samples(self) -> int:
        return round(self.clip_seconds * self.sample_rate_hz)

    @property
    def mel_range_hz(self) -> tuple[float, float]:
        return (125.0, 7_500.0) if self.classifier == "yamnet" else (40.0, self.sample_rate_hz / 2)


def effect_of_loudness(loudness_lufs: Tensor) -> Tensor:
    """Strength in [0, 1) of a sound of this loudness: 0 up to -70 LUFS (silence), then a logistic curve in decibels.

    People turn a dial by -30 to +12 dB around recordings of -33 to -20 LUFS, so the curve spreads over -63 to -8. A
    recording of -23 LUFS has .18, .44, .72, .91 and 1 of its most at -30, -20, -10, 0 and +12 dB, one of -33 LUFS .05,
    .20, .47, .78 and 1: every part of the dial does something. Above -70 LUFS louder is always more.
    """
    at_floor = 1 / (1 + math.exp((EFFECT_CENTER_LUFS - EFFECT_FLOOR_LUFS) / EFFECT_SLOPE_DB))
    logistic = torch.sigmoid((loudness_lufs - EFFECT_CENTER_LUFS) / EFFECT_SLOPE_DB)
    return ((logistic - at_floor) / (1 - at_floor)).clamp(min=0)


def mel_filters(config: SceneAudioConfig) -> Tensor:
    """[mel_bands, n_fft / 2 + 1]: triangles of equal height on the mel scale (HTK), summing power."""
    lowest_mel, highest_mel = map(_mel, config.mel_range_hz)
    edges_mel = torch.linspace(lowest_mel, highest_mel, config.mel_bands + 2, dtype=torch.float64)
    edges_hz = 700 * (10 ** (edges_mel / 2595) - 1)
    bins_hz = torch.linspace(0, config.sample_rate_hz / 2, config.n_fft // 2 + 1, dtype=torch.float64)
    # The lowest triangles are narrower than a bin: none may fall between two bins and stay empty.
    width_hz = config.sample_rate_hz / config.n_fft
    low, center, high = edges_hz[:-2, None], edges_hz[1:-1, None], edges_hz[2:, None]
    rising = 1 - (center - bins_hz) / (center - low).clamp(min=width_hz)
    falling = 1 - (bins_hz - center) / (high - center).clamp(min=width_hz)
    return torch.minimum(rising, falling).clamp(min=0).float()


def _mel(hertz: float) -> float:
    return 2595 * math.log10(1 + hertz / 700)


def k_weighting(config: SceneAudioConfig) -> Tensor:
    """[n_fft / 2 + 1]: power gain of the K-weighting of ITU-R BS.1770 (a shelf of +4 dB, a high-pass at 38 Hz).

    The two biquads are given for 48 kHz; their response is evaluated at the bins' frequencies, which is all that a
    weighting of powers needs.
    """
    bins_hz = torch.linspace(0, config.sample_rate_hz / 2, config.n_fft // 2 + 1, dtype=torch.float64)
    z = torch.exp(-2j * math.pi * bins_hz / 48_000)
    shelf = (1.53512485958697 - 2.69169618940638 * z + 1.19839281085285 * z**2) / (
        1 - 1.69065929318241 * z + 0.73248077421585 * z**2
    )
    high_pass = (1 - 2 * z + z**2) / (1 - 1.99004745483398 * z + 0.99007225036621 * z**2)
    return (shelf * high_pass).abs().square().float()


class PowerSpectrogram(nn.Module):
    """Waveform [B, N] -> mel power [B, mel_bands, T] and loudness [B] in LUFS (ungated, of the whole clip)."""

    filters: Tensor
    weighting: Tensor

    def __init__(self, config: SceneAudioConfig) -> None:
        super().__init__()
        self.stft = make_stft(config, "Complex")
        # A Hann window of 400 samples: the squares of one frame's bins, both sides, sum to n_fft * sum(w^2) * power.
        window_energy = torch.hann_window(config.window_samples, dtype=torch.float64).square().sum()
        self.scale = float(1 / (config.n_fft * window_energy))
        self.register_buffer("filters", mel_filters(config), persistent=False)
        self.register_buffer("weighting", k_weighting(config), persistent=False)

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast(waveform.device.type, enabled=False):
            spectrum = self.stft(waveform.float())  # [B, n_fft / 2 + 1, T, 2]
            power = 2 * self.scale * spectrum.square().sum(dim=-1)  # one side stands for both
            loudness = (power.mean(dim=-1) * self.weighting).sum(dim=1)
            return self.filters @ power, -0.691 + 10 * torch.log10(loudness.clamp(min=SILENCE_POWER))


LEAST_CERTAINTY = 0.04  # so that a stranger has a direction, by which it can be named
STRANGER_WEIGHT = 0.3  # of a stranger's direction beside a scene's: a sound that is half rain still points at rain


class SceneAudioEncoder(nn.Module):
    """f(a): waveform [B, N] (full scale = 1) -> embedding [B, E].

    The network hears every clip at one level and says how probable each kind of sound is. The direction is the mean of
    the kinds' fixed directions (`prototypes`, from photographs of the scenes), weighted by these probabilities, so a
    mix of two scenes lies between them. The length is strength(loudness) * certainty, where certainty is
    the probability that it is a scene at all: silence is 0, and a stranger is short however loud it is.
    """

    prototypes: Tensor
    temperature: Tensor

    def __init__(self, config: SceneAudioConfig) -> None:
        super().__init__()
        self.config = config
        self.spectrogram = PowerSpectrogram(config)
        self.classifier = (
            BackboneClassifier(len(config.kinds), config.dropout, self.spectrogram.filters)
            if config.classifier == "yamnet"
            else SmallAudioClassifier(len(config.kinds), config.dropout, config.widths)
        )
        self.register_buffer("prototypes", torch.eye(len(config.kinds), config.embedding_dim))
        self.register_buffer("temperature", torch.ones(()))  # of the softmax, fitted on recordings that were held out

    def forward(self, waveform: Tensor) -> Tensor:
        mel_power, loudness = self.spectrogram(waveform)
        kinds = self.kind_probabilities(mel_power)
        return effect_of_loudness(loudness)[:, None] * self.scene_embedding(kinds)

    def strength(self, waveform: Tensor) -> Tensor:
        """[B, N] -> [B]: the embedding's length over its certainty."""
        return effect_of_loudness(self.spectrogram(waveform)[1])

    def kind_probabilities(self, mel_power: Tensor) -> Tensor:
        """[B, M, T] -> [B, kinds], rows sum to 1."""
        return F.softmax(self.classifier(self.classifier.spectrogram(mel_power)).float() / self.temperature, dim=1)

    def scene_embedding(self, kinds: Tensor) -> Tensor:
        """[B, kinds] probabilities -> [B, E] as at full strength: its length is the certainty to a power."""
        scenes = len(self.config.scenes)
        certainty = kinds[:, :scenes].sum(dim=1, keepdim=True)
        weighted = torch.cat([kinds[:, :scenes], STRANGER_WEIGHT * kinds[:, scenes:]], dim=1)
        length = LEAST_CERTAINTY + (1 - LEAST_CERTAINTY) * certainty
        return length * F.normalize(weighted @ self.prototypes, dim=1)


def save_encoder(encoder: SceneAudioEncoder, path: Path) -> None:
    """Weights and configuration alone, in fp32."""
    torch.save({"config": asdict(encoder.config), "state_dict": encoder.state_dict()}, path)


def load_encoder(path: Path) -> SceneAudioEncoder:
    """The encoder of a checkpoint, in evaluation mode. Raises ValueError if it is none, OSError where reading fails."""
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
        config = {name: value for name, value in values["config"].items() if name != "lowest_hz"}  # of older files
        encoder = SceneAudioEncoder(SceneAudioConfig(**config))
        encoder.load_state_dict(values["state_dict"])
    except (EOFError, KeyError, TypeError, RuntimeError, pickle.UnpicklingError) as exc:
        raise ValueError(f"{path} is not a checkpoint of the audio encoder: {exc}") from exc
    return encoder.eval().requires_grad_(False)
