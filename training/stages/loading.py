"""The batches of an adversarial stage: draws from the index, or from streamed shards."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from training.data.dataset import Batch, batches
from training.data.stream import ENDLESS, Stream, streamed_batches
from training.stages.stage import Run


def steps_of(run: Run) -> int:
    """Of a run that is as long as its settings say."""
    images = run.config.images or round(run.config.epochs * len(run.dataset))
    return -(-images // run.config.batch)


def image_batches(run: Run, first: int, share_at: Callable[[int], float]) -> Iterator[Batch]:
    """This process's share of the batches from step `first` on."""
    config, size = run.config, run.config.batch
    if run.stream:
        total = ENDLESS if config.time_budget_minutes else steps_of(run) * size
        span = (size, first * size, total, run.rank, run.ranks)
        return iter(streamed_batches(Stream(run.stream, config.data, config.audio, config.seed, *span)))
    span = (size, first * size, ENDLESS, run.rank, run.ranks)
    return iter(batches(run.dataset, *span, lambda image: share_at(image // size)))
