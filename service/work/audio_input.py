"""The sounds that a job came with: one window of each for an image, or an endless stream for a video."""

from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path
from typing import Final

import numpy as np

from service.heard import SoundWarning
from service.media.audio import WindowReport
from service.media.decoder_pool import DecoderPool
from service.model.audio import Waveform, Window
from service.model.bundle import Manifest

_KEPT_SECONDS: Final = 60.0  # a longer sound is decoded anew for each repetition


def choose_window(
    decoder_pool: DecoderPool,
    path: Path,
    manifest: Manifest,
    start_seconds: float | None,
    searched: Callable[[float], None] = lambda _seconds: None,
) -> Window:
    """The window that the model listens to: at `start_seconds`, or the loudest.

    searched: told now and then how many seconds of a long sound have been searched; what it raises ends the search.
    """
    report, waveform = decoder_pool.read_window(
        path, manifest.sample_rate_hz, manifest.clip_samples, start_seconds, searched
    )
    return window_of(report, waveform)


def window_of(report: WindowReport, waveform: Waveform) -> Window:
    """What `read_window` found, as the model takes it."""
    return Window(
        waveform,
        start_seconds=report.start_seconds,
        length_seconds=report.length_seconds,
        clipped_share=report.clipped_share,
        warnings=tuple(SoundWarning(code=note.code, detail=note.detail) for note in report.notes),
    )


def endless_audio(decoder_pool: DecoderPool, path: Path, sample_rate_hz: int) -> Iterator[Waveform]:
    """The sound in mono at that rate, block by block, again and again; in memory that does not grow with its length."""
    kept: list[Waveform] = []
    count = 0
    with decoder_pool.read_audio(path, sample_rate_hz) as blocks:
        for block in blocks:
            count += len(block)
            if count <= _KEPT_SECONDS * sample_rate_hz:
                kept.append(block)
            yield block
    if count <= _KEPT_SECONDS * sample_rate_hz:
        yield from cycle(kept)
    kept.clear()
    while True:
        with decoder_pool.read_audio(path, sample_rate_hz) as blocks:
            yield from blocks


def stretch(blocks: Iterator[Waveform], first: int, count: int) -> Waveform:
    """[count]: the samples of a stream from number `first` on."""
    parts: list[Waveform] = []
    position = 0
    for block in blocks:
        parts.append(block[max(0, first - position) : max(0, first + count - position)])
        position += len(block)
        if position >= first + count:
            break
    return np.concatenate(parts)
