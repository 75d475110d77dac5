"""The only door for foreign sounds: look at the packets, or decode to one mono waveform at the model's rate."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, NoReturn

import av
import numpy as np

from service.errors import MediaError, TooLarge
from service.media.audio_file import AudioFile, Waveform, open_audio
from service.media.limits import MediaLimits

_FLOAT_PCM: Final = {"pcm_f32le", "pcm_f32be", "pcm_f64le", "pcm_f64be"}
_BAD_PACKETS_SHARE: Final = 0.01


@dataclass(frozen=True)
class AudioInfo:
    """What the packets say. duration_seconds: None where the container does not time them."""

    duration_seconds: float | None
    sample_rate_hz: int
    channels: int
    codec: str


def probe_audio(path: Path, limits: MediaLimits) -> AudioInfo:
    """Read all packets, decoding only where samples may be NaN (float WAV), to refuse a bad sound early and cheaply.

    Raises UnsupportedMedia for another format or a file without sound, TooLarge above the limits, and MediaError if
    it is damaged, cut short, too short, or not finite. `decode_audio` trusts none of this and counts samples itself.
    """
    with open_audio(path, limits) as sound:
        stream = sound.stream
        decodes = stream.codec_context.codec.name in _FLOAT_PCM
        for packet in sound.packets():
            if decodes:
                for frame in stream.codec_context.decode(packet):
                    sound.to_mono(sound.samples(frame))
            if sound.end_seconds > limits.max_audio_seconds:
                _refuse_long(limits)
        sound.check_whole()
        if sound.timed and sound.end_seconds < limits.min_audio_seconds:
            _refuse_short(sound.end_seconds, limits)
        return AudioInfo(
            duration_seconds=sound.end_seconds if sound.timed else None,
            sample_rate_hz=sound.sample_rate_hz,
            channels=sound.channels,
            codec=stream.codec_context.codec.canonical_name,
        )


def decode_audio(path: Path, limits: MediaLimits, sample_rate_hz: int) -> Waveform:
    """Decode to [N] at `sample_rate_hz`: the mean of the channels, full scale = 1, at the level as recorded.

    Raises what `probe_audio` raises; a file that breaks off is named with the second at which it does.
    """
    with open_audio(path, limits) as sound:
        decoder = sound.stream.codec_context
        resampler = _Resampler(sound, sample_rate_hz)
        packets, bad_packets = 0, 0
        for packet in sound.packets():
            packets += 1
            try:
                frames = decoder.decode(packet)
            except av.FFmpegError:
                bad_packets += 1
                continue
            for frame in frames:
                resampler.push(frame)
            if resampler.taken > limits.max_audio_seconds * sound.sample_rate_hz:
                _refuse_long(limits)
        sound.check_whole()
        if bad_packets > 1 + _BAD_PACKETS_SHARE * packets:
            raise MediaError(
                f"the sound is damaged: {bad_packets} of its {packets} packets cannot be decoded; send it again",
                field="audio",
            )
        if resampler.taken < limits.min_audio_seconds * sound.sample_rate_hz:
            _refuse_short(resampler.taken / sound.sample_rate_hz, limits)
        return resampler.finish()


class _Resampler:
    """Collects a sound's frames and makes them mono at another rate, a second at a time: fast, in bounded memory.

    taken: samples of each channel so far, at the sound's own rate.
    """

    def __init__(self, sound: AudioFile, to_hz: int) -> None:
        self._sound = sound
        self._to_hz = to_hz
        self._resampler: av.AudioResampler | None = None
        self._waiting = av.AudioFifo()
        self._done: list[Waveform] = []
        self.taken = 0

    def push(self, frame: Any) -> None:
        """Take a decoded frame; raises MediaError if its form is not that of those before."""
        self._sound.check_form(frame)
        frame.pts = None  # gaps between packets are closed
        self._waiting.write(frame)
        self.taken += frame.samples
        if self._waiting.samples >= self._sound.sample_rate_hz:
            self._convert()

    def finish(self) -> Waveform:
        """All that was pushed, [N] at the new rate."""
        self._convert()
        if self._resampler is not None:
            self._done += [frame.to_ndarray()[0] for frame in self._resampler.resample(None)]
        return np.concatenate(self._done)

    def _convert(self) -> None:
        frame = self._waiting.read()
        if frame is None:
            return
        mono = self._sound.to_mono(frame.to_ndarray())
        from_hz = self._sound.sample_rate_hz
        if from_hz == self._to_hz:
            self._done.append(mono)
            return
        self._resampler = self._resampler or av.AudioResampler("flt", "mono", self._to_hz)
        frame = av.AudioFrame.from_ndarray(mono[None], format="flt", layout="mono")
        frame.sample_rate, frame.time_base = from_hz, Fraction(1, from_hz)
        self._done += [converted.to_ndarray()[0] for converted in self._resampler.resample(frame)]


def _refuse_long(limits: MediaLimits) -> NoReturn:
    raise TooLarge(f"the sound is longer than {limits.max_audio_seconds:g} s; cut it", field="audio")


def _refuse_short(seconds: float, limits: MediaLimits) -> NoReturn:
    raise MediaError(
        f"the sound lasts {seconds:.2g} s; at least {limits.min_audio_seconds:g} s is needed", field="audio"
    )
