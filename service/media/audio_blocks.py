"""Decode a sound in blocks of about a second, mixed down and at the wanted rate, from any place of it on.

Memory does not grow with the sound's length, and a start in the middle gives the same samples as decoding it all.
"""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Final, NoReturn

import av
import numpy as np
from numpy.typing import NDArray

from service.errors import MediaError, TooLarge
from service.media.audio_file import AudioFile, check_level
from service.media.audio_formats import is_skippable
from service.media.downmix import MonoStream, downmix, downmix_matrix
from service.media.limits import MediaLimits

Block = NDArray[np.float32]

_BAD_PACKETS_SHARE: Final = 0.01
_DECODER_LEAD_SECONDS: Final = 1.0  # a lossy decoder's memory of what it did not decode has faded by then
_RESAMPLER_LEAD_SECONDS: Final = 0.1
_WORTH_SKIPPING_SECONDS: Final = 10.0
_MOST_CARRIERS: Final = 2
_PACKETS_BETWEEN_SIGNS: Final = 5_000
_NOTHING: Final = np.zeros((1, 0), np.float32)


class InexactStart(Exception):
    """A packet behind those that were left out does not say when it is heard."""


class AudioBlocks:
    """An iterable of (number of the first sample, block [K, n] float32, full scale = 1), at `rate_hz`.

    K is 1 or 2: what `service.media.downmix.to_mono` joins. Times count decoded samples, as a player does: encoder
    delay is left out, and gaps between packets are closed.

    While packets are left out an empty block comes now and then. end_seconds: up to where the sound was decoded.
    """

    def __init__(self, sound: AudioFile, limits: MediaLimits, rate_hz: int, start_seconds: float = 0.0) -> None:
        """start_seconds: where the first block begins, or up to 0.1 s before; packets long before it are left out."""
        self._sound, self._limits, self._rate = sound, limits, rate_hz
        self._start_seconds = start_seconds
        self._packets = self._bad_packets = 0
        self._end = 0  # samples at the sound's own rate

    @property
    def end_seconds(self) -> float:
        return self._end / self._sound.sample_rate_hz

    def __iter__(self) -> Iterator[tuple[int, Block]]:
        """Raises MediaError for a damaged sound, TooLarge for one that is too long, and InexactStart."""
        waiting, converter = av.AudioFifo(), None
        for position, frame in self._frames():
            if frame is None:
                yield 0, _NOTHING
                continue
            self._sound.check_form(frame)
            converter = converter or _Converter(self._sound, self._rate, self._start_seconds)
            frame.pts = None  # gaps between packets are closed
            if position != self._end:  # what was left out
                waiting = av.AudioFifo()
            waiting.write(frame)
            self._end = position + frame.samples
            if self.end_seconds > self._limits.max_audio_seconds:
                refuse_long(self._limits)
            if waiting.samples >= self._sound.sample_rate_hz:
                yield from converter.convert(waiting.read(), self._end)
        if self._bad_packets > 1 + _BAD_PACKETS_SHARE * self._packets:
            raise MediaError(
                f"the sound is damaged: {self._bad_packets} of its {self._packets} packets cannot be decoded; "
                "send it again",
                field="audio",
            )
        if converter is not None:
            if waiting.samples:
                yield from converter.convert(waiting.read(), self._end)
            yield from converter.finish()

    def _frames(self) -> Iterator[tuple[int, Any]]:
        """Decoded frames with the numbers of their first samples, at the sound's own rate; None now and then."""
        decoder, position = self._sound.stream.codec_context, 0
        leaves_out = self._start_seconds > _WORTH_SKIPPING_SECONDS and is_skippable(decoder.codec.name)
        # a coarser clock than the samples' (milliseconds in Matroska) cannot tell them apart
        leaves_out = leaves_out and self._sound.stream.time_base * self._sound.sample_rate_hz <= 1
        wanted = self._start_seconds - _DECODER_LEAD_SECONDS - _RESAMPLER_LEAD_SECONDS
        first: Fraction | None = None  # when the first sample is heard, by the container's clock
        has_left_out = False
        for packet in self._sound.packets():
            self._packets += 1
            if leaves_out and first is not None:
                if packet.size and (packet.pts is None or _end_seconds(packet) - first < wanted):
                    has_left_out = True
                    if self._packets % _PACKETS_BETWEEN_SIGNS == 0:
                        yield position, None
                    continue
                if has_left_out:
                    decoder.flush_buffers()
                leaves_out = False
            try:
                frames = decoder.decode(packet)
            except av.FFmpegError:
                self._bad_packets += 1
                continue
            for frame in frames:
                if first is None:
                    leaves_out = leaves_out and frame.pts is not None
                    first = Fraction(0) if frame.pts is None else frame.pts * frame.time_base
                elif has_left_out:
                    position, has_left_out = _exact_position(frame, first), False
                yield position, frame
                position += frame.samples


class _Converter:
    """Frames as libav stores them -> blocks, from the wanted start on."""

    def __init__(self, sound: AudioFile, rate_hz: int, start_seconds: float) -> None:
        self._sound, self._rate, own_rate = sound, rate_hz, sound.sample_rate_hz
        self._matrix = downmix_matrix(sound.names)
        self._carriers = len(self._matrix)
        self._joining = MonoStream(own_rate) if self._carriers > _MOST_CARRIERS else None
        step = Fraction(own_rate, rate_hz).numerator  # samples after which both rates meet
        self._first = max(0, int((start_seconds - _RESAMPLER_LEAD_SECONDS) * own_rate) // step * step)
        self._next = self._first * rate_hz // own_rate
        count = 1 if self._joining else self._carriers
        self._layout = "mono" if count == 1 else "stereo"
        self._resampler = None if own_rate == rate_hz else av.AudioResampler("fltp", self._layout, rate_hz)

    def convert(self, frame: Any, end: int) -> Iterator[tuple[int, Block]]:
        """end: number of the sample behind the frame's last."""
        channels = self._sound.to_float(self._sound.samples(frame))
        channels = channels[:, max(0, self._first - (end - channels.shape[1])) :]
        if channels.shape[1]:
            check_level(channels)
            block = downmix(channels, self._matrix)
            yield from self._resampled(block if self._joining is None else self._joining.push(block)[None])

    def finish(self) -> Iterator[tuple[int, Block]]:
        """What the filters still hold."""
        if self._joining is not None:
            yield from self._resampled(self._joining.finish()[None])
        if self._resampler is not None:
            yield from self._numbered(self._resampler.resample(None))

    def _resampled(self, block: Block) -> Iterator[tuple[int, Block]]:
        if not block.shape[1]:
            return
        if self._resampler is None:
            yield self._next, block
            self._next += block.shape[1]
            return
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), format="fltp", layout=self._layout)
        frame.sample_rate = self._sound.sample_rate_hz
        frame.time_base = Fraction(1, self._sound.sample_rate_hz)
        yield from self._numbered(self._resampler.resample(frame))

    def _numbered(self, frames: list[av.AudioFrame]) -> Iterator[tuple[int, Block]]:
        for frame in frames:
            block = np.asarray(frame.to_ndarray(), np.float32)
            yield self._next, block
            self._next += block.shape[1]


def _end_seconds(packet: Any) -> Fraction:
    end: Fraction = (packet.pts + (packet.duration or 0)) * packet.time_base
    return end


def _exact_position(frame: Any, first: Fraction) -> int:
    """Number of the frame's first sample; raises InexactStart."""
    if frame.pts is None:
        raise InexactStart
    exact: Fraction = (frame.pts * frame.time_base - first) * frame.sample_rate
    return round(exact)


def refuse_long(limits: MediaLimits) -> NoReturn:
    """Raise TooLarge."""
    raise TooLarge(f"the sound is longer than {limits.max_audio_seconds:g} s; cut it", field="audio")
