"""Open a foreign sound file with every way to other files closed, and hand out its packets and samples.

The demuxers and decoders are listed (`service.media.audio_formats`), every protocol is closed, and the file comes
without its name.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

import av
import numpy as np
from numpy.typing import NDArray

from service.errors import MediaError, StylizationError, TooLarge, UnsupportedMedia
from service.media.audio_formats import AUDIO_DECODERS, AUDIO_DEMUXERS, TAKEN, unopened
from service.media.audio_header import Patched, missing_lengths
from service.media.completeness import missing_end
from service.media.libav import open_nameless
from service.media.limits import MediaLimits

Waveform = NDArray[np.float32]

_OPTIONS: Final = {
    "format_whitelist": AUDIO_DEMUXERS,
    "protocol_whitelist": "none",
    # for the decoders that libav tries while it opens the file (an album cover is an image of any size)
    "codec_whitelist": ",".join(sorted(AUDIO_DECODERS)),
    "probesize": "65536",  # a header says enough; more costs milliseconds
    "max_probe_packets": "1",  # else a WAV of samples is searched for other codecs, which takes most of the time
    "max_streams": "16",
    "max_pixels": "1",
    "threads": "1",
}
_SAMPLE_RATES_HZ: Final = (4_000, 384_000)
_MAX_CHANNELS: Final = 32
_MAX_PLANES: Final = 7  # PyAV reads past the end of a frame that has eight planes or more
_MAX_PEAK: Final = 16.0  # 24 dB above full scale: nobody recorded that
_FULL_SCALE: Final = {"u1": 2.0**7, "i2": 2.0**15, "i4": 2.0**31, "i8": 2.0**63, "f4": 1.0, "f8": 1.0}


@dataclass
class AudioFile:
    """One pass over an open sound file; rate and channels are the header's until the first frame is decoded."""

    file: BinaryIO
    container: Any
    stream: Any
    deadline: float
    tick_seconds: float  # the stream's time base
    sample_rate_hz: int
    channels: int
    names: tuple[str, ...] = ()  # the channels' places, as FFmpeg calls them
    end_ticks: int = 0  # up to where packets were found
    timed: bool = True
    started: bool = False
    breaks_off: bool = False  # what follows cannot be read
    _packer: Any = field(default=None, repr=False)

    @property
    def end_seconds(self) -> float:
        """Up to where packets were found."""
        return self.end_ticks * self.tick_seconds

    def packets(self) -> Iterator[Any]:
        """Every packet of the sound, then the empty one that flushes a decoder; raises TooLarge when time is up."""
        start = self.stream.start_time or 0
        for packet in self._readable():
            if time.monotonic() > self.deadline:
                raise TooLarge("the sound takes too long to open; send a shorter or simpler one", field="audio")
            pts, duration = packet.pts, packet.duration
            if pts is not None and duration:
                self.end_ticks = max(self.end_ticks, pts + duration - start)
            elif packet.size:
                self.timed = False
            yield packet

    def _readable(self) -> Iterator[Any]:
        packets = self.container.demux(self.stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.FFmpegError:
                if not self.end_ticks:
                    raise
                self.breaks_off = True
                flush = av.Packet()
                flush.stream = self.stream
                yield flush
                return
            yield packet

    @property
    def stated_seconds(self) -> float | None:
        """How long the header says that the sound is; None if it does not."""
        if self.stream.duration is not None:
            return float(self.stream.duration * self.stream.time_base)
        if self.container.duration is not None and len(self.container.streams) == 1:
            return float(self.container.duration / av.time_base)
        return None

    def missing_end(self, found_seconds: float) -> str | None:
        """What is wrong with the sound's end if the header announces more than was found; after the last packet."""
        reason = missing_end(self.file, self.container.format.name, self.stated_seconds, found_seconds)
        if reason is None and self.breaks_off:
            reason = "what follows cannot be read"
        return None if reason is None else f"the sound breaks off after {found_seconds:.1f} s ({reason})"

    def check_form(self, frame: Any) -> None:
        """Learn rate and channels from the first decoded frame; raises MediaError if a later one has others."""
        channels = frame.layout.nb_channels
        if not self.started:  # AAC may hide that it is stereo, or twice the rate, until it is decoded
            _check_form(frame.sample_rate, channels)
            self.sample_rate_hz, self.channels, self.started = frame.sample_rate, channels, True
            self.names = tuple(channel.name for channel in frame.layout.channels)
        if frame.sample_rate != self.sample_rate_hz or channels != self.channels:
            raise MediaError("the sound changes its rate or channels on the way; convert it to WAV", field="audio")

    def samples(self, frame: Any) -> NDArray[Any]:
        """The samples of decoded frames as libav stores them, [planes, n]; one plane holds channels in turn."""
        self.check_form(frame)
        if frame.layout.nb_channels > _MAX_PLANES and frame.format.is_planar:
            frame = self._packed(frame)
        samples: NDArray[Any] = frame.to_ndarray()
        return samples

    def _packed(self, frame: Any) -> Any:
        """The same samples in one plane; no channel is mixed."""
        if self._packer is None:
            self._packer = av.AudioResampler(frame.format.packed, frame.layout, frame.sample_rate)
        frame.pts = None
        packed = self._packer.resample(frame)
        assert len(packed) == 1
        return packed[0]

    def check_samples(self, frame: Any) -> None:
        """Raise MediaError for a decoded frame of another form, or whose samples are NaN or far too large."""
        check_level(self.to_float(self.samples(frame)))

    def to_float(self, samples: NDArray[Any]) -> NDArray[np.float32]:
        """[planes, n] as libav stores them -> [channels, n], full scale = 1; not checked for NaN."""
        if len(samples) != self.channels:
            samples = samples.reshape(-1, self.channels).T  # [channels, n]
        scaled: NDArray[np.float32] = samples.astype(np.float32)
        if samples.dtype == np.uint8:
            scaled -= 128
        scaled /= np.float32(_FULL_SCALE[samples.dtype.str[1:]])
        return scaled


def check_level(samples: NDArray[np.float32]) -> None:
    """Raises MediaError for samples that are NaN, infinite, or far beyond full scale (1)."""
    peak = float(np.abs(samples).max(initial=0.0))
    if not np.isfinite(peak):
        raise MediaError("the sound holds samples that are NaN or infinite; export it again", field="audio")
    if peak > _MAX_PEAK:
        raise MediaError(
            f"the sound peaks at {peak:.0f} times full scale; float samples must lie in -1..1", field="audio"
        )


@contextmanager
def open_audio(path: Path, limits: MediaLimits, seconds: float | None = None) -> Iterator[AudioFile]:
    """Open under every check that the header allows; whatever libav raises leaves as one of our errors.

    seconds: that it may stay open, instead of `limits.max_decode_seconds`.
    """
    size = path.stat().st_size
    if size == 0:
        raise MediaError("the sound is empty (0 bytes); send the file itself", field="audio")
    if size > limits.max_audio_bytes:
        raise TooLarge(f"the sound has {size} bytes; at most {limits.max_audio_bytes} are taken", field="audio")
    deadline = time.monotonic() + (limits.max_decode_seconds if seconds is None else seconds)
    with path.open("rb") as file:
        if file.read(4) == b"RIFX":
            raise UnsupportedMedia(
                f"WAV with its bytes in big-endian order (RIFX) is not taken; send {TAKEN}", field="audio"
            )
        patches = missing_lengths(file)
        try:
            container = open_nameless(Patched(file, patches) if patches else file, _OPTIONS)
        except Exception as exc:  # a demuxer fed with hostile bytes may raise anything
            raise unopened(path) from exc
        with container:
            try:
                stream = _choose_stream(container)
                yield AudioFile(
                    file=file,
                    container=container,
                    stream=stream,
                    deadline=deadline,
                    tick_seconds=float(stream.time_base),
                    sample_rate_hz=stream.codec_context.sample_rate,
                    channels=stream.codec_context.channels,
                )
            except StylizationError:
                raise
            except MemoryError as exc:
                raise TooLarge("the sound does not fit in memory; send a shorter one", field="audio") from exc
            except Exception as exc:  # a decoder fed with hostile bytes may raise anything
                raise MediaError("the sound is damaged; send it again", field="audio") from exc


def _choose_stream(container: Any) -> Any:
    """The first sound track, if its codec, rate and channels are taken."""
    if not container.streams.audio:
        raise UnsupportedMedia("the file has no sound track; send a sound", field="audio")
    stream = container.streams.audio[0]
    context = stream.codec_context
    name = "unknown" if context is None else context.codec.long_name
    if context is None or context.codec.name not in AUDIO_DECODERS:
        raise UnsupportedMedia(f"the sound's codec ({name}) is not taken; send {TAKEN}", field="audio")
    _check_form(context.sample_rate, context.channels)
    context.thread_count = 1
    return stream


def _check_form(sample_rate_hz: int, channels: int) -> None:
    lowest, highest = _SAMPLE_RATES_HZ
    if sample_rate_hz == 0:
        raise MediaError("the sound is damaged or incomplete; send it again", field="audio")
    if not lowest <= sample_rate_hz <= highest:
        raise MediaError(
            f"the sound has {sample_rate_hz} samples a second; {lowest} to {highest} are taken", field="audio"
        )
    if not 1 <= channels <= _MAX_CHANNELS:
        raise MediaError(f"the sound has {channels} channels; 1 to {_MAX_CHANNELS} are taken", field="audio")
