"""Training from shards that are streamed: read again and again in a shuffled order, and never kept.

The shards (WebDataset's layout, as `prepare --shards` writes it) are shared out among the processes, and a process's
among its loading workers. Each worker shuffles images in a buffer; a source is any other image of that buffer.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, default_collate, get_worker_info

from training.config import AudioConfig, DataConfig, TrainingConfig
from training.data import media
from training.data.dataset import MOST_SKIPPED, SKIPPED, Batch, crop_at, sound_window
from training.data.shards import ShardError, opened
from training.data.views import view_of

IMAGE_ENDINGS = ("jpg", "jpeg", "png", "webp")
AUDIO_ENDINGS = ("wav", "flac", "ogg", "mp3")
ENDLESS = 2**62  # images of a run that ends by its time budget
BAD_SHARDS = 3  # so many unreadable ones in a row end a run; one is passed over


def require_streamable(config: TrainingConfig) -> None:
    """Raises ValueError for a run that cannot learn from a stream."""
    if not config.images and not config.time_budget_minutes:
        raise ValueError(
            "a stream does not say how many images an epoch has: give the run's length by --images or --time-budget"
        )
    if config.condition.kind != "audio":
        raise ValueError(
            f"the preset {config.preset!r} is conditioned on a {config.condition.kind}, which is drawn from "
            "an index and not from a stream: name an index.jsonl by --index, from whose shards it can be had"
        )


@dataclass(frozen=True)
class Moment:
    """An image and the audio that occurs with it, encoded as in the shard. name: for messages."""

    name: str
    image: bytes
    sound: bytes


class Stream(IterableDataset[Batch]):
    """Batches as `CoOccurrences` collates them, from image `first` of the run up to `total`, without end of data.

    The order is drawn from the seed and `first`: a run that is resumed sees another order from its beginning on.
    Raises ValueError if there are fewer shards than readers; ShardError where shards cannot be read.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        data: DataConfig,
        audio: AudioConfig,
        seed: int,
        batch: int,
        first: int,
        total: int,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        self.addresses, self.data, self.audio, self.seed = addresses, data, audio, seed
        self.batch, self.first, self.total, self.rank, self.ranks = batch, first, total, rank, ranks
        readers = ranks * max(1, data.workers)
        if len(addresses) < readers:
            raise ValueError(
                f"{len(addresses)} shards cannot be shared by {readers} readers ({ranks} processes of "
                f"{max(1, data.workers)}): cut smaller shards, or start fewer processes"
            )

    def __iter__(self) -> Iterator[Batch]:
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info is not None else (0, 1)
        reader, readers = self.rank * workers + worker, self.ranks * workers
        rng = np.random.default_rng((self.seed, self.first, reader))
        mixed = _mixed(self._moments(reader, readers), self.data.stream_buffer, rng)
        for start in range(self.first + worker * self.batch, self.total, workers * self.batch):
            crop = crop_at(self.data, 1.0 if self.total == ENDLESS else start / self.total)
            skipped: dict[str, str] = {}
            drawn = [self._readable(mixed, crop, rng, skipped) for _ in range(self.batch // self.ranks)]
            yield {**default_collate(drawn), SKIPPED: skipped}

    def shard_order(self, reader: int, readers: int) -> Iterator[str]:
        """The reader's shards: in every pass over the data each shard is one reader's, in an order of its own."""
        passed = 0
        while True:
            order = np.random.default_rng((self.seed, self.first, passed)).permutation(len(self.addresses))
            yield from (self.addresses[number] for number in order[reader::readers])
            passed += 1

    def _moments(self, reader: int, readers: int) -> Iterator[Moment]:
        bad = 0
        for address in self.shard_order(reader, readers):
            try:
                yield from read_moments(address)
                bad = 0
            except ShardError as exc:
                bad += 1
                if bad == BAD_SHARDS:
                    raise ShardError(f"{bad} shards in a row cannot be read; the last: {exc}") from exc
                print(f"passed over: {exc}", file=sys.stderr)

    def _readable(
        self, mixed: Iterator[tuple[Moment, Moment]], crop: int, rng: np.random.Generator, skipped: dict[str, str]
    ) -> Batch:
        """The next item whose files can be read; those that cannot are noted in `skipped`, by name."""
        for _ in range(MOST_SKIPPED):
            target, source = next(mixed)
            try:
                return self._item(target, source, crop, rng)
            except media.MediaError as exc:
                if self.data.strict:
                    raise
                skipped[str(exc)] = last = str(exc)
        raise media.MediaError(f"{MOST_SKIPPED} draws in a row met files that cannot be read; the last: {last}")

    def _item(self, target: Moment, source: Moment, crop: int, rng: np.random.Generator) -> Batch:
        drawn = {
            "source": self._view(source, crop, rng),
            "target": self._view(target, crop, rng),
            "waveform": self._sound(target, rng),
        }
        return {**drawn, "source_waveform": self._sound(source, rng)} if self.data.source_sounds else drawn

    def _view(self, moment: Moment, crop: int, rng: np.random.Generator) -> torch.Tensor:
        return view_of(media.decode_image(io.BytesIO(moment.image), moment.name), crop, self.data.zoom, rng)

    def _sound(self, moment: Moment, rng: np.random.Generator) -> torch.Tensor:
        rate = self.audio.sample_rate_hz
        waveform = media.decode_sound(io.BytesIO(moment.sound), moment.name, rate)
        return sound_window(waveform, (0.0, len(waveform) / rate), self.data, self.audio, rng, moment.name)[1]


def read_moments(address: str) -> Iterator[Moment]:
    """Every image of a shard with its clip's sound, as they come. Raises ShardError."""
    from webdataset.tariterators import group_by_keys, tar_file_iterator  # it takes its time

    found = False
    with opened(address) as stream:
        for clip in group_by_keys({**member, "__url__": address} for member in tar_file_iterator(stream)):
            sound = next((clip[ending] for ending in AUDIO_ENDINGS if ending in clip), None)
            images = sorted(ending for ending in clip if ending.rsplit(".", 1)[-1] in IMAGE_ENDINGS)
            if sound is None:
                continue
            for ending in images:
                found = True
                yield Moment(f"{clip['__key__']}.{ending} of {address}", clip[ending], sound)
    if not found:
        raise ShardError(f"{address} holds no clip: KEY.0.jpg, KEY.1.jpg and so on beside KEY.wav")


def _mixed(moments: Iterator[Moment], size: int, rng: np.random.Generator) -> Iterator[tuple[Moment, Moment]]:
    """Each moment once, at random out of `size` that wait; with it another that goes on waiting."""
    waiting: list[Moment] = []
    for moment in moments:
        waiting.append(moment)
        if len(waiting) < size:
            continue
        chosen = int(rng.integers(size))
        waiting[chosen], waiting[-1] = waiting[-1], waiting[chosen]
        target = waiting.pop()
        yield target, waiting[int(rng.integers(len(waiting)))]


def streamed_batches(stream: Stream) -> DataLoader[Batch]:
    """This process's share of every batch, loaded ahead by the stream's workers."""
    workers = stream.data.workers
    return DataLoader(stream, batch_size=None, num_workers=workers, prefetch_factor=4 if workers else None)
