"""The only door for foreign sounds: look at the packets, and decode to one mono waveform at the model's rate.

libav opens far more than sounds (play lists, network addresses, scripts that name other files), so the demuxers
and decoders are listed here, every protocol is closed, and the file comes without its name.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, Final, NoReturn

import av
import numpy as np
from numpy.typing import NDArray

from service.errors import MediaError, StylizationError, TooLarge, UnsupportedMedia
from service.media.completeness import missing_end
from service.media.limits import MediaLimits

Waveform = NDArray[np.float32]

_DEMUXERS: Final = "wav,mp3,flac,ogg,mov,mp4,m4a,3gp,3g2,mj2,matroska,webm"
_PCM: Final = ("u8", "s16le", "s16be", "s24le", "s24be", "s32le", "s32be", "f32le", "f32be", "f64le", "f64be")
_FLOAT_PCM: Final = {"pcm_f32le", "pcm_f32be", "pcm_f64le", "pcm_f64be"}
_DECODERS: Final = {
    *("mp3float", "mp3", "mp2float", "mp2", "flac", "vorbis", "opus", "libopus", "aac", "aac_fixed", "alac"),
    *("pcm_alaw", "pcm_mulaw", "adpcm_ms", "adpcm_ima_wav", *(f"pcm_{name}" for name in _PCM)),
}
_OPTIONS: Final = {
    "format_whitelist": _DEMUXERS,
    "protocol_whitelist": "none",
    # for the decoders that libav tries while it opens the file (an album cover is a picture of any size)
    "codec_whitelist": ",".join(sorted(_DECODERS)),
    "max_streams": "16",
    "max_pixels": "1",
    "threads": "1",
}
_SIGNATURES: Final = (b"RIFF", b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2", b"fLaC", b"OggS", b"\x1a\x45\xdf\xa3")
_SAMPLE_RATES_HZ: Final = (4_000, 384_000)
_MAX_CHANNELS: Final = 32
_MAX_PEAK: Final = 16.0  # 24 dB above full scale: nobody recorded that
_BAD_PACKETS_SHARE: Final = 0.01
_FULL_SCALE: Final = {"u1": 2.0**7, "i2": 2.0**15, "i4": 2.0**31, "i8": 2.0**63, "f4": 1.0, "f8": 1.0}


@dataclass(frozen=True)
class AudioInfo:
    """What the packets say. duration_seconds: None where the container does not time them."""

    duration_seconds: float | None
    sample_rate_hz: int
    channels: int
    codec: str


class _Nameless:
    """A file without its name, by which libav would choose a demuxer or a protocol."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int) -> bytes:
        return self._file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


@dataclass
class _Reading:
    """One pass over an open sound file."""

    file: BinaryIO
    container: Any
    stream: Any
    deadline: float
    end_seconds: float = 0.0  # up to where packets were found
    timed: bool = True

    def packets(self) -> Iterator[Any]:
        """Every packet of the sound, then the empty one that flushes a decoder; raises TooLarge when time is up."""
        start = self.stream.start_time or 0
        for packet in self.container.demux(self.stream):
            if time.monotonic() > self.deadline:
                raise TooLarge("the sound takes too long to open; send a shorter or simpler one", field="audio")
            if packet.size:
                time_known = packet.pts is not None and packet.duration
                self.timed = self.timed and bool(time_known)
                if time_known:
                    end = float((packet.pts + packet.duration - start) * self.stream.time_base)
                    self.end_seconds = max(self.end_seconds, end)
            yield packet

    def check_whole(self) -> None:
        """Raise MediaError if the container announced more than was found; call it after the last packet."""
        stated = None
        if self.stream.duration is not None:
            stated = float(self.stream.duration * self.stream.time_base)
        elif self.container.duration is not None and len(self.container.streams) == 1:
            stated = self.container.duration / av.time_base
        reason = missing_end(self.file, self.container.format.name, stated, self.end_seconds)
        if reason is not None:
            raise MediaError(
                f"the sound breaks off after {self.end_seconds:.1f} s ({reason}); send the whole file", field="audio"
            )


def probe_audio(path: Path, limits: MediaLimits) -> AudioInfo:
    """Read all packets, decoding only where samples may be NaN (float WAV), to refuse a bad sound early and cheaply.

    Raises UnsupportedMedia for another format or a file without sound, TooLarge above the limits, and MediaError if
    it is damaged, cut short, too short, or not finite. `decode_audio` trusts none of this and counts samples itself.
    """
    with _open(path, limits) as reading:
        stream = reading.stream
        decodes = stream.codec_context.codec.name in _FLOAT_PCM
        for packet in reading.packets():
            if decodes:
                for frame in stream.codec_context.decode(packet):
                    _to_mono(frame)
            if reading.end_seconds > limits.max_audio_seconds:
                _refuse_long(limits)
        reading.check_whole()
        if reading.timed and reading.end_seconds < limits.min_audio_seconds:
            _refuse_short(reading.end_seconds, limits)
        return AudioInfo(
            duration_seconds=reading.end_seconds if reading.timed else None,
            sample_rate_hz=stream.codec_context.sample_rate,
            channels=stream.codec_context.channels,
            codec=stream.codec_context.codec.canonical_name,
        )


def decode_audio(path: Path, limits: MediaLimits, sample_rate_hz: int) -> Waveform:
    """Decode to [N] at `sample_rate_hz`: the mean of the channels, full scale = 1, at the level as recorded.

    Raises what `probe_audio` raises; a file that breaks off is named with the second at which it does.
    """
    with _open(path, limits) as reading:
        decoder = reading.stream.codec_context
        rate_hz = decoder.sample_rate
        resampler = _Resampler(rate_hz, sample_rate_hz)
        samples, packets, bad_packets = 0, 0, 0
        for packet in reading.packets():
            packets += 1
            try:
                frames = decoder.decode(packet)
            except av.FFmpegError:
                bad_packets += 1
                continue
            for frame in frames:
                if frame.sample_rate != rate_hz:
                    raise MediaError("the sound changes its sample rate on the way; convert it to WAV", field="audio")
                mono = _to_mono(frame)
                samples += len(mono)
                if samples > limits.max_audio_seconds * rate_hz:
                    _refuse_long(limits)
                resampler.push(mono)
        reading.check_whole()
        if bad_packets > 1 + _BAD_PACKETS_SHARE * packets:
            raise MediaError(
                f"the sound is damaged: {bad_packets} of its {packets} packets cannot be decoded; send it again",
                field="audio",
            )
        if samples < limits.min_audio_seconds * rate_hz:
            _refuse_short(samples / rate_hz, limits)
        return resampler.finish()


class _Resampler:
    """Collects mono waveforms at one rate and gives them back at another, a second at a time to bound the memory."""

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self._from_hz = from_hz
        self._resampler = av.AudioResampler("flt", "mono", to_hz) if from_hz != to_hz else None
        self._waiting: list[Waveform] = []
        self._waiting_samples = 0
        self._done: list[Waveform] = []

    def push(self, mono: Waveform) -> None:
        self._waiting.append(mono)
        self._waiting_samples += len(mono)
        if self._waiting_samples >= self._from_hz:
            self._convert()

    def finish(self) -> Waveform:
        self._convert()
        if self._resampler is not None:
            self._done += [frame.to_ndarray()[0] for frame in self._resampler.resample(None)]
        return np.concatenate(self._done) if self._done else np.zeros(0, np.float32)

    def _convert(self) -> None:
        if not self._waiting:
            return
        mono = np.concatenate(self._waiting)
        self._waiting, self._waiting_samples = [], 0
        if self._resampler is None:
            self._done.append(mono)
            return
        frame = av.AudioFrame.from_ndarray(mono[None], format="flt", layout="mono")
        frame.sample_rate, frame.time_base = self._from_hz, Fraction(1, self._from_hz)
        self._done += [converted.to_ndarray()[0] for converted in self._resampler.resample(frame)]


def _to_mono(frame: Any) -> Waveform:
    """One decoded frame -> [n], full scale = 1. swresample's own down-mix depends on the sample format, so not used."""
    samples: NDArray[Any] = frame.to_ndarray()
    channels = frame.layout.nb_channels
    if not frame.format.is_planar:
        samples = samples.reshape(-1, channels).T  # [channels, n]
    scaled = samples.astype(np.float32)
    if samples.dtype == np.uint8:
        scaled -= 128
    mono: Waveform = scaled.mean(axis=0) if channels > 1 else scaled[0]
    mono = mono / np.float32(_FULL_SCALE[samples.dtype.str[1:]])
    peak = float(np.abs(mono).max(initial=0.0))
    if not np.isfinite(peak):
        raise MediaError("the sound holds samples that are NaN or infinite; export it again", field="audio")
    if peak > _MAX_PEAK:
        raise MediaError(
            f"the sound peaks at {peak:.0f} times full scale; float samples must lie in -1..1", field="audio"
        )
    return mono


@contextmanager
def _open(path: Path, limits: MediaLimits) -> Iterator[_Reading]:
    """Open under every check that the header allows; whatever libav raises leaves as one of our errors."""
    size = path.stat().st_size
    if size == 0:
        raise MediaError("the sound is empty (0 bytes); send the file itself", field="audio")
    if size > limits.max_audio_bytes:
        raise TooLarge(f"the sound has {size} bytes; at most {limits.max_audio_bytes} are taken", field="audio")
    deadline = time.monotonic() + limits.max_decode_seconds
    with path.open("rb") as file:
        try:
            container = av.open(_Nameless(file), options=_OPTIONS, io_open=_refuse_other_files)
        except Exception as exc:  # a demuxer fed with hostile bytes may raise anything
            raise _unopened(path) from exc
        with container:
            try:
                yield _Reading(file=file, container=container, stream=_choose_stream(container), deadline=deadline)
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
    if context is None or context.codec.name not in _DECODERS:
        raise UnsupportedMedia("the sound's codec is not taken; send WAV, MP3, FLAC, Ogg or M4A", field="audio")
    lowest, highest = _SAMPLE_RATES_HZ
    if not lowest <= context.sample_rate <= highest:
        raise MediaError(
            f"the sound has {context.sample_rate} samples a second; {lowest} to {highest} are taken", field="audio"
        )
    if not 1 <= context.channels <= _MAX_CHANNELS:
        raise MediaError(f"the sound has {context.channels} channels; 1 to {_MAX_CHANNELS} are taken", field="audio")
    context.thread_count = 1
    return stream


def _unopened(path: Path) -> MediaError | UnsupportedMedia:
    with path.open("rb") as file:
        start = file.read(12)
    if start.startswith(_SIGNATURES) or start[4:8] == b"ftyp":
        return MediaError("the sound is damaged or incomplete; send it again", field="audio")
    return UnsupportedMedia(
        "the file is no sound that is known here; send WAV, MP3, FLAC, Ogg, M4A or WebM", field="audio"
    )


def _refuse_other_files(*_: object) -> NoReturn:
    raise PermissionError("a sound may not open other files")


def _refuse_long(limits: MediaLimits) -> NoReturn:
    raise TooLarge(f"the sound is longer than {limits.max_audio_seconds:g} s; cut it", field="audio")


def _refuse_short(seconds: float, limits: MediaLimits) -> NoReturn:
    raise MediaError(
        f"the sound lasts {seconds:.2g} s; at least {limits.min_audio_seconds:g} s is needed", field="audio"
    )
