"""The one dataset: numbered draws from an index, each the same whenever and wherever it is drawn.

Draw number k depends on the seed and k alone, so a resumed run goes on with the pictures that come next and every
process of a distributed run takes its own numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from training.config import AudioConfig, DataConfig
from training.data import media
from training.data.conditions import Conditions
from training.data.index import Pair, PairingError, read_index
from training.data.views import random_view

Batch = dict[str, torch.Tensor]


class CoOccurrences(Dataset[Batch]):
    """Item (draw, crop) -> `source` and `target` pictures [3, crop, crop] in [-1, 1] and `waveform` [N].

    The waveform occurs with the target; the source is any picture of the split, or, with `source_sounds`, any that has
    a sound, which is the item's `source_waveform`. What `conditions` has for the pair is the item's `condition`.
    """

    def __init__(
        self,
        index: Path,
        split: str,
        data: DataConfig,
        audio: AudioConfig,
        seed: int,
        conditions: Conditions | None = None,
    ) -> None:
        pairs = read_index(index, split)
        self.pairs: Sequence[Pair] = [p for p in pairs if p.sound is not None]
        if not self.pairs:
            raise PairingError(f"{index} has no pair with a sound in the split {split!r}")
        self.images: Sequence[Path] = sorted({p.image for p in pairs})
        weights = np.array([p.weight for p in self.pairs])
        self.cumulative = np.cumsum(weights / weights.sum())
        self.data, self.audio, self.seed, self.conditions = data, audio, seed, conditions
        self._max_red = {p.image: p.max_red for p in self.pairs}
        self._by_sound: dict[Path | None, list[Path]] = {}

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, item: tuple[int, int]) -> Batch:
        draw, crop = item
        rng = np.random.default_rng((self.seed, draw))
        number = min(int(np.searchsorted(self.cumulative, rng.random())), len(self.pairs) - 1)
        pair = self.pairs[number]
        source = self.images[int(rng.integers(len(self.images)))]
        own = self.pairs[int(rng.integers(len(self.pairs)))] if self.data.source_sounds else None
        drawn = {
            "source": random_view(source if own is None else own.image, crop, self.data.zoom, rng),
            "target": random_view(pair.image, crop, self.data.zoom, rng, pair.max_red),
        }
        begin, drawn["waveform"] = self._begin_and_sound(pair, rng)
        if own is not None:
            drawn["source_waveform"] = self.sound(own, rng)
        if self.conditions is not None:
            drawn["condition"] = self.conditions.of_draw(pair, begin, rng)
        return drawn

    def draw_sounds(self, count: int, draw: int) -> tuple[list[Pair], torch.Tensor]:
        """`count` pairs by weight and their windows [count, N]; the same for the same draw number."""
        rng = np.random.default_rng((self.seed, draw, 1))
        numbers = np.minimum(np.searchsorted(self.cumulative, rng.random(count)), len(self.pairs) - 1)
        pairs = [self.pairs[number] for number in numbers]
        return pairs, torch.stack([self.sound(pair, rng) for pair in pairs])

    def picture_like(self, pair: Pair, draw: int) -> Path:
        """Another photograph that occurs with the same sound."""
        if not self._by_sound:
            for each in self.pairs:
                self._by_sound.setdefault(each.sound, []).append(each.image)
        images = self._by_sound[pair.sound]
        return images[int(np.random.default_rng((self.seed, draw, len(pair.source), 3)).integers(len(images)))]

    def view(self, path: Path, crop: int, draw: int) -> torch.Tensor:
        """An augmented view [3, crop, crop] of one photograph, as it is shown with its sounds."""
        rng = np.random.default_rng((self.seed, draw, 2))
        return random_view(path, crop, self.data.zoom, rng, self._max_red.get(path, 1.0))

    def sound(self, pair: Pair, rng: np.random.Generator) -> torch.Tensor:
        """A random window of the pair's stretch, at a level drawn from `loudness_dbfs` if that is set."""
        return self._begin_and_sound(pair, rng)[1]

    def _begin_and_sound(self, pair: Pair, rng: np.random.Generator) -> tuple[float, torch.Tensor]:
        """Where the window begins in seconds, and the window."""
        assert pair.sound is not None
        waveform = media.read_sound(pair.sound, self.audio.sample_rate_hz)
        return sound_window(waveform, (pair.start, pair.start + pair.seconds), self.data, self.audio, rng)


def sound_window(
    waveform: torch.Tensor,
    stretch: tuple[float, float],
    data: DataConfig,
    audio: AudioConfig,
    rng: np.random.Generator,
) -> tuple[float, torch.Tensor]:
    """A random window of the stretch (from, to, in seconds) of a waveform, at a level from `loudness_dbfs` if set.

    Returns where the window begins in seconds, and the window [N].
    """
    start, stop = (round(seconds * audio.sample_rate_hz) for seconds in stretch)
    latest = max(start, min(stop, len(waveform)) - audio.clip_samples)
    begin = int(rng.integers(start, latest + 1))
    piece = media.window(waveform[:stop], begin, audio.clip_samples)
    if data.loudness_dbfs is not None:
        piece = media.at_level(piece, float(rng.uniform(*data.loudness_dbfs)))
    return begin / audio.sample_rate_hz, piece


class _Draws:
    """Batches of (draw, crop) from one picture count to another, the crop as scheduled over the run."""

    def __init__(self, data: DataConfig, batch: int, first: int, total: int, rank: int, ranks: int) -> None:
        self.data, self.batch, self.first, self.total = data, batch, first, total
        self.rank, self.ranks = rank, ranks

    def __len__(self) -> int:
        return max(0, -(-(self.total - self.first) // self.batch))

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for start in range(self.first, self.total, self.batch):
            crop = crop_at(self.data, start / self.total)
            yield [(draw, crop) for draw in range(start + self.rank, start + self.batch, self.ranks)]


def crop_at(data: DataConfig, share: float) -> int:
    """The crop in pixels when that share of the run is done."""
    return [crop for begin, crop in data.crops if share >= begin][-1]


def batches(
    dataset: CoOccurrences, batch: int, first: int, total: int, rank: int = 0, ranks: int = 1
) -> DataLoader[Batch]:
    """This process's share of every batch from picture `first` up to `total`, loaded ahead by `workers`."""
    workers = dataset.data.workers
    draws = _Draws(dataset.data, batch, first, total, rank, ranks)
    return DataLoader(
        dataset,
        batch_sampler=draws,
        num_workers=workers,
        prefetch_factor=4 if workers else None,
    )
