"""A video's soundtrack: read it in blocks, change its loudness over time, mix a second sound in, keep it from clipping.

Everything runs in blocks of about a second, so that memory does not grow with the length of the video. A block is
float32 [channels, n], full scale = 1, at the soundtrack's own rate.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import av.filter
import numpy as np
from numpy.typing import NDArray

from service.errors import MediaError, StylizationError
from service.media.audio_file import AudioFile, Waveform, check_level, open_audio
from service.media.limits import MediaLimits

Block = NDArray[np.float32]

CEILING_DBTP: Final = -1.0
_OVERSAMPLING: Final = 4  # as in ITU-R BS.1770's true peak
_OVERSHOOT_DB: Final = 1.1  # what white noise, the worst case, gains when it is brought back to its own rate
_PADDING_SAMPLES: Final = 4096  # a lossy codec fills its last packet up; what is announced ends before
_GAP_SECONDS: Final = 0.05  # a shorter one between packets is rounding, and closed
_LAYOUTS: Final = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1"}


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


@dataclass(frozen=True)
class TrackForm:
    """Of a soundtrack. start_seconds: when it begins, by the video's clock. samples: as announced, 0 if not."""

    sample_rate_hz: int
    channels: int
    start_seconds: float
    codec: str
    bit_rate: int
    samples: int = 0

    @property
    def layout(self) -> str:
        """libav's name for that many channels."""
        return _LAYOUTS[self.channels]


class SoundtrackReader:
    """The blocks of a video's soundtrack; gaps between its packets are filled with silence. A context manager."""

    def __init__(self, path: Path, limits: MediaLimits) -> None:
        """Raises MediaError or UnsupportedMedia if it cannot be read, always of the field `video`."""
        sound_limits = replace(
            limits,
            max_audio_bytes=limits.max_video_bytes,
            max_audio_seconds=limits.max_video_seconds,
            max_decode_seconds=limits.max_video_seconds,
        )
        self._max_seconds = limits.max_video_seconds
        self._opening = open_audio(path, sound_limits)

    def __enter__(self) -> "SoundtrackReader":
        try:
            self._sound: AudioFile = self._opening.__enter__()
            self.form = self._read_form()
        except StylizationError as exc:
            raise _of_video(exc) from exc
        return self

    def __exit__(self, *reason: Any) -> None:
        self._opening.__exit__(*reason)

    def _read_form(self) -> TrackForm:
        stream = self._sound.stream
        context = stream.codec_context
        if context.channels not in _LAYOUTS:
            raise MediaError(f"it has {context.channels} channels; mix it down to stereo", field="video")
        return TrackForm(
            sample_rate_hz=context.sample_rate,
            channels=context.channels,
            start_seconds=float((stream.start_time or 0) * stream.time_base),
            codec=context.codec.canonical_name,
            bit_rate=int(stream.bit_rate or context.bit_rate or 0),
            samples=round((stream.duration or 0) * stream.time_base * context.sample_rate),
        )

    def blocks(self) -> Iterator[Block]:
        """All of it; raises MediaError for a track that cannot be decoded or changes its form on the way."""
        try:
            yield from self._blocks()
        except StylizationError as exc:
            raise _of_video(exc) from exc
        except (av.FFmpegError, ValueError) as exc:
            raise MediaError("the video's soundtrack is damaged; send it again", field="video") from exc

    def _blocks(self) -> Iterator[Block]:
        rate, given = self.form.sample_rate_hz, 0
        waiting: list[Block] = []
        for packet in self._sound.packets():
            try:
                frames = packet.decode()
            except av.InvalidDataError:
                continue  # the gap that it leaves is filled below
            for frame in frames:
                block = self._sound.to_float(self._sound.samples(frame))
                check_level(block)
                if self._sound.sample_rate_hz != rate or self._sound.channels != self.form.channels:
                    raise MediaError("its rate or channels are not those of its header; convert it", field="video")
                if frame.pts is not None:
                    at = float(frame.pts * frame.time_base) - self.form.start_seconds
                    gap = at - given / rate
                    if gap > _GAP_SECONDS and at < self._max_seconds:  # foreign times ask for no more than that
                        for silence in silent_blocks(self.form, gap):
                            yield np.concatenate([*waiting, silence], axis=1)
                            given += silence.shape[1]
                            waiting = []
                if self.form.samples and 0 < given + block.shape[1] - self.form.samples < _PADDING_SAMPLES:
                    block = block[:, : max(0, self.form.samples - given)]
                waiting.append(block)
                given += block.shape[1]
                if sum(part.shape[1] for part in waiting) >= rate:
                    yield np.concatenate(waiting, axis=1)
                    waiting = []
        if waiting:
            yield np.concatenate(waiting, axis=1)


def read_soundtrack(path: Path, limits: MediaLimits) -> Iterator[TrackForm | Block]:
    """The track's form, then its blocks, as `SoundtrackReader` has them."""
    with SoundtrackReader(path, limits) as reader:
        yield reader.form
        yield from reader.blocks()


def silent_blocks(form: TrackForm, seconds: float) -> Iterator[Block]:
    """What a video without a soundtrack has."""
    left = round(seconds * form.sample_rate_hz)
    while left > 0:
        count = min(left, form.sample_rate_hz)
        yield np.zeros((form.channels, count), np.float32)
        left -= count


def mixed_in(blocks: Iterator[Block], second: Waveform, gain_db: float) -> Iterator[Block]:
    """Each block with the mono sound [N] (at the same rate) in its two front channels, repeated as often as needed."""
    louder, position = second * np.float32(10 ** (gain_db / 20)), 0
    for block in blocks:
        count = block.shape[1]
        part = np.take(louder, np.arange(position, position + count), mode="wrap")
        position += count
        block = block.copy()
        block[:2] += part
        yield block


class Limiter:
    """Keeps true peaks below CEILING_DBTP: libavfilter's look-ahead limiter at four times the rate.

    As many samples come out as went in, in step.
    """

    def __init__(self, form: TrackForm) -> None:
        self._form = form
        rate, ceiling = form.sample_rate_hz, 10 ** ((CEILING_DBTP - _OVERSHOOT_DB) / 20)
        graph = av.filter.Graph()
        source = graph.add_abuffer(
            format="fltp", sample_rate=rate, layout=form.layout, time_base=Fraction(1, rate), name="in"
        )
        chain = [
            graph.add("aresample", str(rate * _OVERSAMPLING)),
            graph.add("alimiter", f"limit={ceiling:.5f}:attack=5:release=80:level=0:latency=1"),
            graph.add("aresample", str(rate)),
            graph.add("aformat", f"sample_fmts=fltp:channel_layouts={form.layout}"),
            graph.add("abuffersink"),
        ]
        for one, other in zip([source, *chain], chain, strict=False):
            one.link_to(other)
        graph.configure()
        self._graph, self._pushed, self._pulled = graph, 0, 0

    def blocks(self, blocks: Iterator[Block]) -> Iterator[Block]:
        """The same sound, limited."""
        for block in blocks:
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), format="fltp", layout=self._form.layout)
            frame.sample_rate, frame.pts = self._form.sample_rate_hz, self._pushed
            frame.time_base = Fraction(1, self._form.sample_rate_hz)
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
            block = np.asarray(frame.to_ndarray(), np.float32)[:, : self._pushed - self._pulled]
            if block.shape[1]:
                self._pulled += block.shape[1]
                yield block


class PeakMeter:
    """The true peak of what is pushed: the largest sample at four times the rate (ITU-R BS.1770), full scale = 1."""

    def __init__(self, form: TrackForm) -> None:
        self._form = form
        self._resampler = av.AudioResampler("fltp", form.layout, form.sample_rate_hz * _OVERSAMPLING)
        self.peak = 0.0

    def push(self, block: Block) -> None:
        """Take a block."""
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), format="fltp", layout=self._form.layout)
        frame.sample_rate = self._form.sample_rate_hz
        frame.time_base = Fraction(1, self._form.sample_rate_hz)
        for resampled in self._resampler.resample(frame):
            self.peak = max(self.peak, float(np.abs(resampled.to_ndarray()).max(initial=0.0)))


def _of_video(error: StylizationError) -> StylizationError:
    """The same complaint about the field `video`."""
    return type(error)(f"the video's soundtrack: {error.detail}", field="video")
