"""A bank of augmented hearings of every recording, and the batches that are drawn from it: single sounds and mixes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from training.data import media
from training.data.audio_augmentation import hear
from training.data.sound_recordings import Recording
from training.data.synthetic_sounds import synthetic_stranger

QUIETEST = 1e-7  # powers are kept down to 70 dB below the mean
LEAST_SHARE = 0.08  # of a scene in a mix (21 dB below): what is fainter is not taught, it cannot be heard
STRANGER_SHARES = (0.12, 0.5)  # of a scene over a stranger: not there at all, wholly there
_SYNTHETIC_KINDS = ("noise", "music", "impacts")  # of which there are few recordings
_MIXED = 0.5  # of a batch

PowerOf = Callable[[Tensor], Tensor]  # waveforms [B, N] -> mel powers [B, M, T]


@dataclass(frozen=True)
class HearingBank:
    """log_power: float16 [hearings, M, T], each over its own mean. recording: [hearings], numbers of `recordings`.

    synthetic: the same of made sounds, by kind. The bank holds mel powers, not waveforms: they add up in a mix, and an
    equalisation is an offset.
    """

    recordings: Sequence[Recording]
    log_power: NDArray[np.float16]
    recording: NDArray[np.int64]
    synthetic: Mapping[str, NDArray[np.float16]]


def build_bank(
    recordings: Sequence[Recording],
    power_of: PowerOf,
    sample_rate_hz: int,
    samples: int,
    hearings: int,
    synthetic: int,
    seed: int,
) -> HearingBank:
    """`hearings` of each recording, and `synthetic` made sounds, half of them augmented as well. Raises MediaError."""
    powers, numbers = [], []
    for number, recording in enumerate(tqdm(recordings, desc="hearing", unit="recording")):
        waveform = media.read_sound(recording.path, sample_rate_hz).numpy()
        rngs = [np.random.default_rng([seed, number, hearing]) for hearing in range(hearings)]
        windows = [hear(waveform, sample_rate_hz, samples, rng) for rng in rngs]
        powers.append(_log_power(windows, power_of))
        numbers += [number] * hearings
    made: dict[str, list[NDArray[np.float16]]] = {}
    for number in range(synthetic):
        rng = np.random.default_rng([seed, len(recordings), number])
        kind, window = synthetic_stranger(sample_rate_hz, samples, rng)
        if rng.random() < 0.5:
            window = hear(window, sample_rate_hz, samples, rng)
        made.setdefault(kind, []).append(_log_power([window], power_of))
    synthetic_powers = {kind: np.concatenate(windows) for kind, windows in made.items()}
    return HearingBank(recordings, np.concatenate(powers), np.asarray(numbers), synthetic_powers)


@dataclass(frozen=True)
class BatchSampler:
    """Draws kinds evenly, then a source of the kind, then a recording of the source, then a hearing of it."""

    bank: HearingBank
    kinds: Sequence[str]
    scenes: int  # the first kinds are scenes
    probability: NDArray[np.float64]  # [recordings]
    shares: NDArray[np.float32]  # [recordings, kinds]

    @classmethod
    def of(
        cls, bank: HearingBank, kinds: Sequence[str], scenes: int, kind_weights: Mapping[str, float]
    ) -> BatchSampler:
        """A source of many recordings counts by the root of their number. kind_weights: relative to 1."""
        probability = np.zeros(len(bank.recordings))
        for kind in {recording.kind for recording in bank.recordings}:
            sources = [r.source if r.kind == kind else None for r in bank.recordings]
            counts = {source: sources.count(source) for source in sources if source is not None}
            total = sum(count**0.5 for count in counts.values())
            for number, source in enumerate(sources):
                if source is not None:
                    probability[number] = kind_weights.get(kind, 1.0) * counts[source] ** -0.5 / total
        shares = np.zeros((len(bank.recordings), len(kinds)), np.float32)
        for number, recording in enumerate(bank.recordings):
            for kind, share in recording.shares.items():
                shares[number, kinds.index(kind)] = share
        return cls(bank, kinds, scenes, probability / probability.sum(), shares)

    def draw(self, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Mel powers [count, M, T], half of them mixes, and the shares [count, kinds] that they are taught as."""
        first, first_shares = self._single(count, rng)
        second, second_shares = self._single(count, rng)
        return mixed(first, first_shares, second, second_shares, self.scenes, rng)

    def _single(self, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        numbers = rng.choice(len(self.probability), count, p=self.probability)
        rows = []
        for number in numbers:
            kind = self.bank.recordings[number].kind
            made = self.bank.synthetic.get(kind)
            if made is not None and rng.random() < (0.35 if kind in _SYNTHETIC_KINDS else 0.15):
                rows.append(made[rng.integers(len(made))])
            else:
                rows.append(self.bank.log_power[rng.choice(np.flatnonzero(self.bank.recording == number))])
        log_power = torch.from_numpy(np.stack(rows)).float()
        return _over_mean(torch.exp(_moved(log_power, rng))), torch.from_numpy(self.shares[numbers])


def mixed(
    first: Tensor,
    first_shares: Tensor,
    second: Tensor,
    second_shares: Tensor,
    scenes: int,
    rng: np.random.Generator,
) -> tuple[Tensor, Tensor]:
    """Half of `first` [B, M, T] with `second` added to it, and what the result is taught as.

    Two scenes: any proportion. The share taught is that of amplitudes, not of powers: it is even in the weights by
    which the service mixes, and nearer to how loud each part seems. A scene and a stranger: from 8 dB below the
    stranger to 30 dB above; the scene counts wholly from equal loudness on, since a place has its background.
    """
    count = len(first)
    known, second_known = first_shares[:, :scenes].sum(dim=1), second_shares[:, :scenes].sum(dim=1)
    unlike = (known > 0.9) != (second_known > 0.9)
    swap = unlike & (second_known > 0.9)  # the scene comes first
    lead = torch.where(swap[:, None, None], second, first)
    under = torch.where(swap[:, None, None], first, second)
    lead_shares = torch.where(swap[:, None], second_shares, first_shares)
    under_shares = torch.where(swap[:, None], first_shares, second_shares)
    even = torch.from_numpy(rng.random(count)).float()
    above_db = torch.from_numpy(rng.uniform(-8, 30, count)).float()
    amplitude = torch.where(unlike, 1 / (1 + 10 ** (-above_db / 20)), even)
    amplitude = torch.where(torch.from_numpy(rng.random(count)) < _MIXED, amplitude, torch.ones(count))
    power = amplitude**2 / (amplitude**2 + (1 - amplitude) ** 2)
    total = power[:, None, None] * lead + (1 - power)[:, None, None] * under
    share = ((amplitude - LEAST_SHARE) / (1 - 2 * LEAST_SHARE)).clamp(0, 1)
    absent, whole = STRANGER_SHARES
    share = torch.where(unlike, ((amplitude - absent) / (whole - absent)).clamp(0, 1), share)[:, None]
    return _over_mean(total), share * lead_shares + (1 - share) * under_shares


def with_floor(power: Tensor, rng: np.random.Generator) -> Tensor:
    """Even noise 20 to 70 dB below each of [B, M, T], whose mean is 1."""
    floor = 10 ** -torch.from_numpy(rng.uniform(2, 7, len(power))).float()
    return power + floor[:, None, None]


def masked(spectrogram: Tensor, rng: np.random.Generator) -> Tensor:
    """Up to 9 bands and up to 0.6 s of [B, C, M, T] set to the mean, each in half of the batch (SpecAugment)."""
    spectrogram = spectrogram.clone()
    bands, frames = spectrogram.shape[2:]
    for one in spectrogram:
        mean = one.mean(dim=(1, 2))[:, None, None]
        if rng.random() < 0.5:
            width = int(rng.integers(1, 10))
            start = int(rng.integers(0, bands - width))
            one[:, start : start + width] = mean
        if rng.random() < 0.5:
            width = int(rng.integers(5, 60))
            start = int(rng.integers(0, max(1, frames - width)))
            one[:, :, start : start + width] = mean
    return spectrogram


def _moved(log_power: Tensor, rng: np.random.Generator) -> Tensor:
    """Another smooth equalisation (4 dB), another beginning, and at times a shift by up to two bands."""
    curve = torch.from_numpy(rng.standard_normal((len(log_power), 1, 6))).float()
    curve = F.interpolate(curve, size=log_power.shape[1], mode="linear", align_corners=True)
    rows = []
    for one in log_power + curve.transpose(1, 2):
        row = torch.roll(one, int(rng.integers(one.shape[1])), dims=1)
        if rng.random() < 0.4:
            shift = int(rng.integers(-2, 3))
            bands = (torch.arange(len(row)) + shift).clamp(0, len(row) - 1)
            row = row[bands]
        rows.append(row)
    return torch.stack(rows)


def _over_mean(power: Tensor) -> Tensor:
    return power / power.mean(dim=(1, 2), keepdim=True).clamp(min=1e-12)


@torch.no_grad()
def _log_power(windows: Sequence[NDArray[np.float32]], power_of: PowerOf) -> NDArray[np.float16]:
    log_power = torch.log(_over_mean(power_of(torch.from_numpy(np.stack(windows)))) + QUIETEST)
    return log_power.half().numpy()
