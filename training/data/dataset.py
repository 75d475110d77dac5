"""The one dataset: numbered draws from an index, each the same whenever and wherever it is drawn.

Draw number k depends on the seed and k alone, so a resumed run goes on with the images that come next and every
process of a distributed run takes its own numbers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence, Set
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, default_collate

from training.config import AudioConfig, DataConfig
from training.data import media
from training.data.conditions import ConditionProvider
from training.data.index import Pair, PairingError, read_index
from training.data.views import random_view

Batch = dict[str, Any]  # tensors by name, and what was skipped
Drawn = TypeVar("Drawn")
ShareAt = Callable[[int], float]
SKIPPED = "skipped"  # in a batch: files that could not be read, with the reasons
MOST_SKIPPED = 20  # draws in a row that may meet unreadable files


class Unreadable(Exception):
    """A file was skipped; what was to be drawn with it is drawn anew."""


class CoOccurrences(Dataset[Batch]):
    """Item (draw, crop) -> `source` and `target` images [3, crop, crop] in [-1, 1] and `waveform` [N].

    The waveform occurs with the target; the source is any image of the split, or, with `source_sounds`, any that has
    audio, which is the item's `source_waveform`. What `conditions` has for the pair is the item's `condition`.
    A file that cannot be read is skipped: the next candidate is drawn, and `skipped` says why; with `strict` it raises.
    """

    is_resident = False  # its items come from a device's memory, on which they stay

    def __init__(
        self,
        index: Path,
        split: str,
        data: DataConfig,
        audio: AudioConfig,
        seed: int,
        conditions: ConditionProvider | None = None,
    ) -> None:
        pairs = read_index(index, split)
        self.pairs: Sequence[Pair] = [p for p in pairs if p.sound is not None]
        if not self.pairs:
            raise PairingError(f"{index} has no pair with a sound in the split {split!r}")
        self.images: Sequence[Path] = sorted({p.image for p in pairs})
        self.of_no_scene: Set[Path] = {p.image for p in pairs if p.sound is None}
        weights = np.array([p.weight for p in self.pairs])
        self.cumulative = np.cumsum(weights / weights.sum())
        self.data, self.audio, self.seed, self.conditions = data, audio, seed, conditions
        self.skipped: dict[Path, str] = {}  # files that could not be read, and why; each process finds its own
        self._max_red = {p.image: p.max_red for p in self.pairs}
        self._by_sound: dict[Path | None, list[Path]] = {}

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, item: tuple[int, int]) -> dict[str, Any]:
        """Besides the tensors, `skipped`: the files that this draw found unreadable, with the reasons."""
        draw, crop = item
        known = set(self.skipped)
        drawn = self._first_readable((draw,), lambda rng: self._draw(rng, crop))
        new = {str(path): self.skipped[path] for path in self.skipped if path not in known}
        return {**drawn, SKIPPED: new}

    def draw_sounds(self, count: int, draw: int) -> tuple[list[Pair], torch.Tensor]:
        """`count` pairs by weight and their windows [count, N]; the same for the same draw number."""

        def one(rng: np.random.Generator) -> tuple[Pair, torch.Tensor]:
            pair = self._pair(rng)
            return pair, self.sound(pair, rng)

        drawn = [self._first_readable((draw, 1, place), one) for place in range(count)]
        return [pair for pair, _ in drawn], torch.stack([waveform for _, waveform in drawn])

    def image_like(self, pair: Pair, draw: int) -> Path:
        """Another image that occurs with the same audio."""
        if not self._by_sound:
            for each in self.pairs:
                self._by_sound.setdefault(each.sound, []).append(each.image)
        images = [path for path in self._by_sound[pair.sound] if path not in self.skipped] or [pair.image]
        return images[int(np.random.default_rng((self.seed, draw, len(pair.source), 3)).integers(len(images)))]

    def view(self, path: Path, crop: int, draw: int) -> torch.Tensor:
        """An augmented view [3, crop, crop] of one image, as it is shown with its audio. Raises MediaError."""
        rng = np.random.default_rng((self.seed, draw, 2))
        return self._read_view(path, crop, rng, self._max_red.get(path, 1.0))

    def readable(self, paths: Sequence[Path], show: Callable[[Path], torch.Tensor]) -> dict[Path, torch.Tensor]:
        """What `show` makes of each image; those that cannot be read are skipped. Raises MediaError if none is left."""
        found = {}
        for path in paths:
            with contextlib.suppress(Unreadable):
                found[path] = show(path)
        if not found:
            raise media.MediaError(f"none of {len(paths)} images can be read; the first: {self.skipped[paths[0]]}")
        return found

    def sound(self, pair: Pair, rng: np.random.Generator) -> torch.Tensor:
        """A random window of the pair's stretch, at a level drawn from `loudness_dbfs` if that is set."""
        return self._begin_and_sound(pair, rng)[1]

    def skipped_by_name(self) -> dict[str, str]:
        return {str(path): reason for path, reason in self.skipped.items()}

    def skip(self, path: Path, reason: media.MediaError) -> Unreadable:
        """Note a file that cannot be read. Returns what is to be raised; raises the reason itself if `strict`."""
        if self.data.strict:
            raise reason
        self.skipped[path] = str(reason)
        return Unreadable(str(reason))

    def _pair(self, rng: np.random.Generator) -> Pair:
        """A pair by weight, of files that have not been found unreadable."""
        pair = self.pairs[min(int(np.searchsorted(self.cumulative, rng.random())), len(self.pairs) - 1)]
        if pair.image in self.skipped or pair.sound in self.skipped:
            raise Unreadable(str(pair.image))
        return pair

    def _first_readable(self, key: tuple[int, ...], draw: Callable[[np.random.Generator], Drawn]) -> Drawn:
        """Every attempt has randomness of its own, so that it does not matter which files were found bad before."""
        for attempt in range(MOST_SKIPPED):
            with contextlib.suppress(Unreadable):
                return draw(np.random.default_rng((self.seed, *key, *([5, attempt] if attempt else []))))
        last = list(self.skipped.values())[-1] if self.skipped else "no pair could be drawn"
        raise media.MediaError(f"{MOST_SKIPPED} draws in a row met files that cannot be read; the last: {last}")

    def _draw(self, rng: np.random.Generator, crop: int) -> Batch:
        pair = self._pair(rng)
        source = self.images[int(rng.integers(len(self.images)))]
        own = self._pair(rng) if self.data.source_sounds else None
        drawn = {
            "source": self._read_view(source if own is None else own.image, crop, rng),
            "target": self._read_view(pair.image, crop, rng, pair.max_red),
        }
        begin, drawn["waveform"] = self._begin_and_sound(pair, rng)
        if own is not None:
            drawn["source_waveform"] = self.sound(own, rng)
        if self.conditions is not None:
            drawn["condition"] = self.conditions.of_draw(pair, begin, rng)
        return drawn

    def _read_view(self, path: Path, crop: int, rng: np.random.Generator, max_red: float = 1.0) -> torch.Tensor:
        try:
            return self._make_view(path, crop, rng, max_red)
        except media.MediaError as exc:
            raise self.skip(path, exc) from exc

    def _make_view(self, path: Path, crop: int, rng: np.random.Generator, max_red: float) -> torch.Tensor:
        return random_view(path, crop, self.data.zoom, rng, max_red)

    def _waveform(self, path: Path) -> torch.Tensor:
        return media.read_sound(path, self.audio.sample_rate_hz)

    def _begin_and_sound(self, pair: Pair, rng: np.random.Generator) -> tuple[float, torch.Tensor]:
        """Where the window begins in seconds, and the window."""
        assert pair.sound is not None
        stretch = (pair.start, pair.start + pair.seconds)
        try:
            waveform = self._waveform(pair.sound)
            return sound_window(waveform, stretch, self.data, self.audio, rng, str(pair.sound))
        except media.MediaError as exc:
            raise self.skip(pair.sound, exc) from exc


def sound_window(
    waveform: torch.Tensor,
    stretch: tuple[float, float],
    data: DataConfig,
    audio: AudioConfig,
    rng: np.random.Generator,
    name: str = "the audio",
) -> tuple[float, torch.Tensor]:
    """A random window of the stretch (from, to, in seconds) of a waveform, at a level from `loudness_dbfs` if set.

    Returns where the window begins in seconds, and the window [N]. Raises MediaError, with `name`, where the waveform
    ends before the stretch begins.
    """
    start, stop = (round(seconds * audio.sample_rate_hz) for seconds in stretch)
    if start >= min(stop, len(waveform)):
        seconds = len(waveform) / audio.sample_rate_hz
        raise media.MediaError(
            f"{name} lasts {seconds:.1f} s, where the index expects audio from {stretch[0]:.1f} to {stretch[1]:.1f} s: "
            "the index is older than the file; make it anew"
        )
    latest = max(start, min(stop, len(waveform)) - audio.clip_samples)
    begin = int(rng.integers(start, latest + 1))
    piece = media.window(waveform[:stop], begin, audio.clip_samples)
    if data.loudness_dbfs is not None:
        piece = media.at_level(piece, float(rng.uniform(*data.loudness_dbfs)))
    return begin / audio.sample_rate_hz, piece


class _Draws:
    """Batches of (draw, crop) from one image count to another, the crop as scheduled over the run."""

    def __init__(
        self, data: DataConfig, batch: int, first: int, total: int, rank: int, ranks: int, share_at: ShareAt | None
    ) -> None:
        self.data, self.batch, self.first, self.total = data, batch, first, total
        self.rank, self.ranks = rank, ranks
        self.share_at = share_at or (lambda image: image / total)

    def __len__(self) -> int:
        return max(0, -(-(self.total - self.first) // self.batch))

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for start in range(self.first, self.total, self.batch):
            crop = crop_at(self.data, self.share_at(start))
            yield [(draw, crop) for draw in range(start + self.rank, start + self.batch, self.ranks)]


def crop_at(data: DataConfig, share: float) -> int:
    """The crop in pixels when that share of the run is done."""
    return [crop for begin, crop in data.crops if share >= begin][-1]


def collate(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Tensors stacked; what was skipped joined."""
    skipped: dict[str, str] = {}
    for item in items:
        skipped |= item.pop(SKIPPED, {})
    return {**default_collate(list(items)), SKIPPED: skipped}


def batches(
    dataset: CoOccurrences,
    batch: int,
    first: int,
    total: int,
    rank: int = 0,
    ranks: int = 1,
    share_at: ShareAt | None = None,
) -> DataLoader[Batch]:
    """This process's share of every batch from image `first` up to `total`, loaded ahead by `workers`.

    share_at(image): of the schedule that is done by then (default: image / total). On a GPU's host the tensors are
    pinned, so that they can be copied while it computes. What lies on a device already needs neither.
    """
    workers = 0 if dataset.is_resident else dataset.data.workers
    draws = _Draws(dataset.data, batch, first, total, rank, ranks, share_at)
    return DataLoader(
        dataset,
        batch_sampler=draws,
        num_workers=workers,
        collate_fn=collate,
        prefetch_factor=4 if workers else None,
        pin_memory=torch.cuda.is_available() and not dataset.is_resident,
    )
