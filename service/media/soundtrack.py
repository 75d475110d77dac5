"""A video's soundtrack: change its loudness over time, mix a second sound in, keep it from clipping.

Everything runs in blocks of about a second, so that memory does not grow with the length of the video. A block is
float32 [channels, n], full scale = 1, at the soundtrack's own rate.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import av
import av.filter
import numpy as np
from numpy.typing import NDArray

from service.media.audio_file import Waveform
from service.media.soundtrack_reader import Block, TrackForm, make_frame, read_frame

CEILING_DBTP: Final = -1.0
_OVERSAMPLING: Final = 4  # as in ITU-R BS.1770's true peak
_OVERSHOOT_DB: Final = 1.1  # what white noise, the worst case, gains when it is brought back to its own rate


@dataclass(frozen=True)
class GainCurve:
    """Decibels over time: linear between the points (seconds, dB), held before the first and after the last."""

    points: tuple[tuple[float, float], ...]

    @property
    def is_neutral(self) -> bool:
        """Whether it changes nothing."""
        return all(db == 0 for _, db in self.points)

    @property
    def boosts(self) -> bool:
        """Whether anything becomes louder."""
        return any(db > 0 for _, db in self.points)

    def gain_db(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        """[n] seconds of the video -> [n] dB."""
        times, decibels = zip(*self.points, strict=True)
        gains: NDArray[np.float64] = np.interp(seconds, times, decibels)
        return gains

    def apply(self, block: Block, start_seconds: float, sample_rate_hz: int) -> Block:
        """`block`, which begins at `start_seconds`, made louder or softer sample by sample."""
        seconds = start_seconds + np.arange(block.shape[1]) / sample_rate_hz
        return block * (10 ** (self.gain_db(seconds) / 20)).astype(np.float32)


def with_second(blocks: Iterator[Block], second: Iterator[Waveform], gain_db: float) -> Iterator[tuple[Block, Block]]:
    """Each block, and beside it as much of the endless mono sound (at the same rate) in the two front channels."""
    gain, waiting = np.float32(10 ** (gain_db / 20)), np.zeros(0, np.float32)
    for block in blocks:
        count = block.shape[1]
        while len(waiting) < count:
            waiting = np.concatenate([waiting, next(second)])
        beside = np.zeros_like(block)
        beside[:2] = gain * waiting[:count]
        waiting = waiting[count:]
        yield block, beside


class Limiter:
    """Keeps true peaks below CEILING_DBTP: libavfilter's look-ahead limiter at four times the rate.

    As many samples come out as went in, in step.
    """

    def __init__(self, form: TrackForm) -> None:
        self._form = form
        rate, ceiling = form.sample_rate_hz, 10 ** ((CEILING_DBTP - _OVERSHOOT_DB) / 20)
        graph = av.filter.Graph()
        source = graph.add_abuffer(
            format="flt", sample_rate=rate, layout=form.layout, time_base=Fraction(1, rate), name="in"
        )
        chain = [
            graph.add("aresample", str(rate * _OVERSAMPLING)),
            graph.add("alimiter", f"limit={ceiling:.5f}:attack=5:release=80:level=0:latency=1"),
            graph.add("aresample", str(rate)),
            graph.add("aformat", f"sample_fmts=flt:channel_layouts={form.layout}"),
            graph.add("abuffersink"),
        ]
        for one, other in zip([source, *chain], chain, strict=False):
            one.link_to(other)
        graph.configure()
        self._graph, self._pushed, self._pulled = graph, 0, 0

    def blocks(self, blocks: Iterator[Block]) -> Iterator[Block]:
        """The same sound, limited."""
        for block in blocks:
            frame = make_frame(block, self._form)
            frame.pts = self._pushed
            self._pushed += block.shape[1]
            self._graph.push(frame)
            yield from self._pull()
        self._graph.push(None)
        yield from self._pull()
        if (missing := self._pushed - self._pulled) > 0:
            yield np.zeros((self._form.channels, missing), np.float32)

    def _pull(self) -> Iterator[Block]:
        while True:
            try:
                frame = self._graph.pull()
            except (av.BlockingIOError, av.EOFError):
                return
            block = read_frame(frame, self._form.channels)[:, : self._pushed - self._pulled]
            if block.shape[1]:
                self._pulled += block.shape[1]
                yield block


class PeakMeter:
    """The true peak of what is pushed: the largest sample at four times the rate (ITU-R BS.1770), full scale = 1."""

    def __init__(self, form: TrackForm) -> None:
        self._form = form
        self._resampler = av.AudioResampler("flt", form.layout, form.sample_rate_hz * _OVERSAMPLING)
        self.peak = 0.0

    def push(self, block: Block) -> None:
        """Take a block."""
        for resampled in self._resampler.resample(make_frame(block, self._form)):
            self.peak = max(self.peak, float(np.abs(resampled.to_ndarray()).max(initial=0.0)))
