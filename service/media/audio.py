"""The only door for foreign sounds: look at the packets, or decode to mono at the model's rate."""

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NoReturn

import numpy as np

from service.errors import MediaError
from service.media.audio_blocks import AudioBlocks, InexactStart, refuse_long
from service.media.audio_file import Waveform, open_audio
from service.media.audio_formats import FLOAT_DECODERS
from service.media.downmix import MonoStream, to_mono
from service.media.limits import MediaLimits
from service.media.window_search import Block, LastWindow, LoudestWindow

_MOST_PROBED_PACKETS: Final = 50_000  # twenty minutes of MP3; the rest is looked at when it is decoded
_CLIPPED_LEVEL: Final = 0.999
_MOST_MEASURED_CHANNELS: Final = 2  # more are mixed down to stereo, which may pass full scale, before it is measured
_REPORT_CPU_SECONDS: Final = 2.0
_REPORT_WALL_SECONDS: Final = 5.0  # on a machine that is very busy
_TOLERANCE_SECONDS: Final = 0.01  # a start this much too late is moved without a word


@dataclass(frozen=True)
class AudioInfo:
    """What the packets say. duration_seconds: None where the container does not time them."""

    duration_seconds: float | None
    sample_rate_hz: int
    channels: int
    codec: str


@dataclass(frozen=True)
class AudioNote:
    """Something about the file that its sender should know."""

    code: Literal["incomplete", "start"]
    detail: str


@dataclass(frozen=True)
class WindowReport:
    """How far the search for a window is, or what it has found.

    seconds: that were searched. done: the window's waveform follows, and what is said below is of it.
    length_seconds: of the sound in it, less than the waveform's if that was repeated. clipped_share: of its samples
    at full scale in any channel; None if that cannot be told.
    """

    seconds: float
    done: bool = False
    start_seconds: float = 0.0
    length_seconds: float = 0.0
    clipped_share: float | None = None
    notes: tuple[AudioNote, ...] = ()


def probe_audio(path: Path, limits: MediaLimits) -> AudioInfo:
    """Read the packets, decoding only where samples may be NaN (float PCM), to refuse a bad sound early and cheaply.

    Raises UnsupportedMedia for another format or a file without sound, TooLarge above the limits, and MediaError if
    it is damaged, too short, or not finite. `read_window` trusts none of this and counts samples itself.
    """
    with open_audio(path, limits) as sound:
        stream = sound.stream
        decodes = stream.codec_context.codec.name in FLOAT_DECODERS
        is_whole = True
        for number, packet in enumerate(sound.packets()):
            if decodes:
                for frame in stream.codec_context.decode(packet):
                    sound.check_samples(frame)
            if sound.end_seconds > limits.max_audio_seconds:
                refuse_long(limits)
            if number == _MOST_PROBED_PACKETS:
                is_whole = False
                break
        if is_whole and sound.timed and sound.end_seconds < limits.min_audio_seconds:
            _refuse_short(sound.end_seconds, limits)
        seconds: float | None = sound.end_seconds if sound.timed else None
        if not is_whole:
            seconds = sound.stated_seconds
            if seconds is not None and seconds > limits.max_audio_seconds:
                refuse_long(limits)
        return AudioInfo(
            duration_seconds=seconds,
            sample_rate_hz=sound.sample_rate_hz,
            channels=sound.channels,
            codec=stream.codec_context.codec.canonical_name,
        )


def read_window(
    path: Path, limits: MediaLimits, sample_rate_hz: int, clip_samples: int, start_seconds: float | None = None
) -> Iterator[WindowReport | Waveform]:
    """Find the window of `clip_samples` that starts at `start_seconds`, or the loudest, in a sound of any length.

    Yields reports: one after every two seconds of processor time, then a last one (`done`), then the waveform
    [clip_samples] in mono at the rate, at the level as recorded. A shorter sound is repeated. A start too near the end
    is moved back so far that the window is full, which is noted. Raises what `probe_audio` raises.
    """
    if start_seconds is not None:
        found = yield from _window_at(path, limits, sample_rate_hz, clip_samples, start_seconds)
        if found is not None:
            begin, samples, clips = found
            seconds = (begin + clip_samples) / sample_rate_hz
            yield from _answer(WindowReport(seconds), samples, begin, clips, sample_rate_hz, clip_samples)
            return
    search = LoudestWindow(clip_samples, sample_rate_hz)
    last = LastWindow(clip_samples)
    with open_audio(path, limits, seconds=float("inf")) as sound:
        blocks = AudioBlocks(sound, limits, sample_rate_hz)
        pace = _Pace()
        for _, block in blocks:
            if start_seconds is None:
                search.push(block)
            last.push(block)
            if pace.is_due():
                yield WindowReport(blocks.end_seconds)
        seconds, missing = blocks.end_seconds, sound.missing_end(blocks.end_seconds)
        clips = sound.channels <= _MOST_MEASURED_CHANNELS
    if seconds < limits.min_audio_seconds or last.samples is None:
        _refuse_short(seconds, limits)
    notes = []
    if missing is not None:
        notes.append(AudioNote("incomplete", f"{missing}; what is there is used"))
    if search.samples is not None:
        start, samples = search.start, search.samples
    else:
        start, samples = last.start, last.samples
        if start_seconds is not None and start_seconds > start / sample_rate_hz + _TOLERANCE_SECONDS:
            notes.append(_moved_note(start_seconds, start / sample_rate_hz, seconds, samples.shape[1] < clip_samples))
    report = WindowReport(seconds, notes=tuple(notes))
    yield from _answer(report, samples, start, clips, sample_rate_hz, clip_samples)


def read_audio(path: Path, limits: MediaLimits, sample_rate_hz: int) -> Iterator[Waveform]:
    """The whole sound in mono at that rate, block by block, at the level as recorded. Raises as `probe_audio` does."""
    with open_audio(path, limits, seconds=float("inf")) as sound:
        blocks, stream = AudioBlocks(sound, limits, sample_rate_hz), MonoStream(sample_rate_hz)
        for _, block in blocks:
            if len(mono := stream.push(block)):
                yield mono
        if blocks.end_seconds < limits.min_audio_seconds:
            _refuse_short(blocks.end_seconds, limits)
        yield stream.finish()


def decode_audio(path: Path, limits: MediaLimits, sample_rate_hz: int) -> Waveform:
    """All that `read_audio` gives, [N]; its memory grows with the sound's length."""
    return np.concatenate(list(read_audio(path, limits, sample_rate_hz)))


class _Pace:
    """Tells when it is time for another report."""

    def __init__(self) -> None:
        self._since = (time.process_time(), time.monotonic())

    def is_due(self) -> bool:
        """Whether one has been due since the last one that was."""
        cpu, wall = time.process_time(), time.monotonic()
        if cpu - self._since[0] <= _REPORT_CPU_SECONDS and wall - self._since[1] <= _REPORT_WALL_SECONDS:
            return False
        self._since = (cpu, wall)
        return True


def _window_at(
    path: Path, limits: MediaLimits, sample_rate_hz: int, clip_samples: int, start_seconds: float
) -> Generator[WindowReport, None, tuple[int, Block, bool] | None]:
    """Returns (first sample, [K, clip_samples], whether clipping shows in it), or None if the sound ends before."""
    for seeks_to in (start_seconds, 0.0):
        with open_audio(path, limits, seconds=float("inf")) as sound:
            blocks = AudioBlocks(sound, limits, sample_rate_hz, seeks_to)
            try:
                samples = yield from _samples_at(blocks, sample_rate_hz, clip_samples, start_seconds)
            except InexactStart:
                continue
            return None if samples is None else (*samples, sound.channels <= _MOST_MEASURED_CHANNELS)
    raise AssertionError("a sound that is decoded from its beginning on has exact times")


def _samples_at(
    blocks: AudioBlocks, sample_rate_hz: int, clip_samples: int, start_seconds: float
) -> Generator[WindowReport, None, tuple[int, Block] | None]:
    begin, pace = round(start_seconds * sample_rate_hz), _Pace()
    parts: list[Block] = []
    for first, block in blocks:
        if pace.is_due():
            yield WindowReport(blocks.end_seconds)
        if first + block.shape[1] > begin:
            parts.append(block[:, max(0, begin - first) :])
        if first + block.shape[1] >= begin + clip_samples:
            return begin, np.concatenate(parts, axis=1)[:, :clip_samples]
    return None


def _answer(
    report: WindowReport, samples: Block, start: int, clips: bool, sample_rate_hz: int, clip_samples: int
) -> Iterator[WindowReport | Waveform]:
    clipped = float(np.mean((np.abs(samples) >= _CLIPPED_LEVEL).any(axis=0))) if clips else None
    yield WindowReport(
        seconds=report.seconds,
        done=True,
        start_seconds=start / sample_rate_hz,
        length_seconds=samples.shape[1] / sample_rate_hz,
        clipped_share=clipped,
        notes=report.notes,
    )
    mono = to_mono(samples, sample_rate_hz)
    yield np.tile(mono, -(-clip_samples // len(mono)))[:clip_samples]


def _moved_note(wanted: float, start: float, seconds: float, is_repeated: bool) -> AudioNote:
    used = "all of it is used" if is_repeated else f"the window starts at {start:.3f} s"
    where = "lies beyond the end of" if wanted >= seconds else "is too near the end of"
    return AudioNote("start", f"start_seconds {wanted:g} {where} the sound, which lasts {seconds:.3f} s; {used}")


def _refuse_short(seconds: float, limits: MediaLimits) -> NoReturn:
    raise MediaError(
        f"the sound lasts {seconds:.2g} s; at least {limits.min_audio_seconds:g} s is needed", field="audio"
    )
