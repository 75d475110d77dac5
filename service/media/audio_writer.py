"""Encode a soundtrack, block by block, into a file of its own, from which its packets are copied into the result."""

from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av

from service.media.soundtrack_reader import Block, TrackForm, make_frame
from service.media.video_file import Container

_CODECS: Final = {"mp4": "aac", "webm": "libopus"}
_AAC_RATES_HZ: Final = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
_OPUS_RATES_HZ: Final = (8000, 12000, 16000, 24000, 48000)
_BITS_PER_CHANNEL: Final = 96_000  # the least a second; a richer original is matched
_MOST_BITS_PER_CHANNEL: Final = 160_000


class AudioWriter:
    """Blocks in, AAC in MP4 or Opus in WebM out. sample_rate_hz: the original's, or the next one that the codec has.

    A context manager: the file is whole when the block has ended without an error.
    """

    def __init__(self, path: Path, container: Container, form: TrackForm) -> None:
        rates = _AAC_RATES_HZ if container == "mp4" else _OPUS_RATES_HZ
        self.sample_rate_hz = next((rate for rate in rates if rate >= form.sample_rate_hz), rates[-1])
        self._form = form
        self._output = av.open(str(path), "w", format=container)
        stream: Any = self._output.add_stream(_CODECS[container], rate=self.sample_rate_hz, layout=form.layout)
        bits = max(form.bit_rate, _BITS_PER_CHANNEL * form.channels)
        stream.bit_rate = min(bits, _MOST_BITS_PER_CHANNEL * form.channels)
        self._stream = stream
        self._resampler = av.AudioResampler(stream.codec_context.format.name, form.layout, self.sample_rate_hz)
        self._written = 0
        self._first_packet: int | None = None
        self._begin = round(form.start_seconds * self.sample_rate_hz)
        self._hides_priming = container == "webm"  # whatever the time; an MP4 hides what lies before 0
        self._pts = round(form.start_seconds * self.sample_rate_hz)

    @property
    def priming_seconds(self) -> float:
        """How much of the encoder's priming is heard, as silence, before the first sample that was written."""
        if self._hides_priming or self._first_packet is None:
            return 0.0
        return max(0, self._begin - max(0, self._first_packet)) / self.sample_rate_hz

    def write(self, block: Block) -> None:
        """Take [channels, n]."""
        frame = make_frame(block, self._form)
        frame.pts = self._written
        self._written += block.shape[1]
        self._encode(self._resampler.resample(frame))

    def __enter__(self) -> "AudioWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *reason: object) -> None:
        if kind is None:
            self._encode(self._resampler.resample(None))
            self._output.mux(self._stream.encode(None))
        self._output.close()

    def _encode(self, frames: list[av.AudioFrame]) -> None:
        for frame in frames:
            frame.pts, frame.time_base = self._pts, Fraction(1, self.sample_rate_hz)
            self._pts += frame.samples
            packets = self._stream.encode(frame)
            if self._first_packet is None and packets:
                self._first_packet = packets[0].pts
            self._output.mux(packets)
