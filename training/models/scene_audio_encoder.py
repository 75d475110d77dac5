"""The audio encoder f: its embedding points at the scene that is heard; its length is loudness times certainty."""

from __future__ import annotations

import math
import pickle
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.models.spectrogram import make_stft

REFERENCE_POWER = 0.01  # -20 dBFS: the network hears every clip at this level
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
    lowest_hz: float = 40.0
    widths: tuple[int, ...] = (24, 48, 96, 160)
    dropout: float = 0.2
    embedding_dim: int = 64

    @property
    def kinds(self) -> tuple[str, ...]:
        return self.scenes + self.strangers

    @property
    def clip_samples(self) -> int:
        return round(self.clip_seconds * self.sample_rate_hz)


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
    highest_mel = _mel(config.sample_rate_hz / 2)
    edges_mel = torch.linspace(_mel(config.lowest_hz), highest_mel, config.mel_bands + 2, dtype=torch.float64)
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


def log_mel(mel_power: Tensor) -> Tensor:
    """[B, M, T] powers of any level -> [B, 2, M, T] about in [-1.5, 1.5], the same at every level above -100 dBFS.

    The second channel is the first without each band's mean over time: what an equaliser or a microphone colours is
    gone, what moves is left.

    A floor 50 dB below the clip's mean power per band lies under everything: what is fainter than that (a recording's
    own hiss, digital silence between two steps) tells of the equipment and not of the place.
    """
    mean = mel_power.mean(dim=(1, 2), keepdim=True).clamp(min=SILENCE_POWER / mel_power.shape[1])
    decibels = torch.log(mel_power / mean + 1e-5) / 4 + 1
    return torch.stack([decibels, decibels - decibels.mean(dim=2, keepdim=True)], dim=1)


class _Stage(nn.Module):
    """Halve both axes, then a residual block: [B, inputs, F, T] -> [B, outputs, F / 2, T / 2]."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False)
        self.down_norm = nn.BatchNorm2d(outputs)
        self.first = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, (1, 3), 1, (0, 1), bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.down_norm(self.down(x)))
        y = F.relu(self.first_norm(self.first(x)))
        return F.relu(x + self.second_norm(self.second(y)))


class KindClassifier(nn.Module):
    """Log-mel [B, 2, M, T] -> logits [B, kinds]: a small residual network; mean, spread and peak over time."""

    def __init__(self, config: SceneAudioConfig) -> None:
        super().__init__()
        stem, *widths = config.widths
        self.stem = nn.Conv2d(2, stem, 5, 2, 2, bias=False)
        self.stem_norm = nn.BatchNorm2d(stem)
        channels = [stem, *widths]
        self.stages = nn.Sequential(*(_Stage(a, b) for a, b in zip(channels, widths, strict=False)))
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(3 * channels[-1], len(config.kinds))

    def features(self, spectrogram: Tensor) -> Tensor:
        x = F.relu(self.stem_norm(self.stem(spectrogram)))
        x = self.stages(x).mean(dim=2)  # [B, C, T / 16]
        mean = x.mean(dim=2)
        spread = ((x - mean[:, :, None]).square().mean(dim=2) + 1e-6).sqrt()
        return torch.cat([mean, spread, x.amax(dim=2)], dim=1)

    def forward(self, spectrogram: Tensor) -> Tensor:
        logits: Tensor = self.head(self.dropout(self.features(spectrogram)))
        return logits


CERTAINTY_EXPONENT = 1.5  # half a certainty is a third of the effect: what is half a stranger changes little
LEAST_CERTAINTY = 0.04  # so that a stranger has a direction, by which it can be named
STRANGER_WEIGHT = 0.3  # of a stranger's direction beside a scene's: a sound that is half rain still points at rain


class SceneAudioEncoder(nn.Module):
    """f(a): waveform [B, N] (full scale = 1) -> embedding [B, E].

    The network hears every clip at one level and says how probable each kind of sound is. The direction is the mean of
    the kinds' fixed directions (`prototypes`, from photographs of the scenes), weighted by these probabilities, so a
    mix of two scenes lies between them. The length is strength(loudness) * certainty^1.5, where certainty is
    the probability that it is a scene at all: silence is 0, and a stranger is short however loud it is.
    """

    prototypes: Tensor
    temperature: Tensor

    def __init__(self, config: SceneAudioConfig) -> None:
        super().__init__()
        self.config = config
        self.spectrogram = PowerSpectrogram(config)
        self.classifier = KindClassifier(config)
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
        return F.softmax(self.classifier(log_mel(mel_power)).float() / self.temperature, dim=1)

    def scene_embedding(self, kinds: Tensor) -> Tensor:
        """[B, kinds] probabilities -> [B, E] as at full strength: its length is the certainty to a power."""
        scenes = len(self.config.scenes)
        certainty = kinds[:, :scenes].sum(dim=1, keepdim=True)
        weighted = torch.cat([kinds[:, :scenes], STRANGER_WEIGHT * kinds[:, scenes:]], dim=1)
        length = LEAST_CERTAINTY + (1 - LEAST_CERTAINTY) * certainty**CERTAINTY_EXPONENT
        return length * F.normalize(weighted @ self.prototypes, dim=1)


def save_encoder(encoder: SceneAudioEncoder, path: Path) -> None:
    """Weights and configuration alone, in fp32."""
    torch.save({"config": asdict(encoder.config), "state_dict": encoder.state_dict()}, path)


def load_encoder(path: Path) -> SceneAudioEncoder:
    """The encoder of a checkpoint, in evaluation mode. Raises ValueError if it is none, OSError where reading fails."""
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
        encoder = SceneAudioEncoder(SceneAudioConfig(**values["config"]))
        encoder.load_state_dict(values["state_dict"])
    except (EOFError, KeyError, TypeError, RuntimeError, pickle.UnpicklingError) as exc:
        raise ValueError(f"{path} is not a checkpoint of the audio encoder: {exc}") from exc
    return encoder.eval().requires_grad_(False)
