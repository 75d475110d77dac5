"""See when a video flashes and when it beeps, by nothing but PyAV's decoders."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from tests.support.video import Clip, write_frames

FLASHES = (0.4, 1.2)
BEEP_SECONDS = 0.08


@dataclass(frozen=True)
class Observed:
    """frames: when each is shown, in the order in which they are decoded. flashes, beeps: when they begin. Seconds."""

    frames: tuple[float, ...]
    flashes: tuple[float, ...]
    beeps: tuple[float, ...]

    @property
    def leads(self) -> tuple[float, ...]:
        """How long after its flash each beep is heard."""
        return tuple(beep - flash for flash, beep in zip(self.flashes, self.beeps, strict=True))


def observe(path: Path) -> Observed:
    """Decode everything, as FFmpeg does."""
    frames: list[float] = []
    lights: list[float] = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            tick = frame.pts if frame.pts is not None else frame.dts
            frames.append(float(tick * frame.time_base))
            lights.append(float(frame.reformat(format="gray").to_ndarray().mean()))
    lit = [light > 128 for light in lights]
    flashes = [at for at, now, before in zip(frames, lit, [False, *lit], strict=False) if now and not before]
    return Observed(tuple(frames), tuple(flashes), _beeps(path))


def flash_and_beep(path: Path, clip: Clip, moments: Sequence[float] = FLASHES) -> Path:
    """Black, and white for 0.2 s from each moment on, when it beeps for BEEP_SECONDS."""
    length = clip.frames / clip.fps
    times = [float(tick * (clip.time_base or 1)) for tick in clip.ticks] if clip.ticks else None
    times = times or [number / clip.fps for number in range(clip.frames)]
    frames = (
        np.full(
            (clip.height, clip.width, 3), 235 if any(0 <= at - moment < 0.2 for moment in moments) else 16, np.uint8
        )
        for at in times
    )
    clock = np.arange(round(length * clip.sample_rate_hz)) / clip.sample_rate_hz
    gate = np.any([(clock >= moment) & (clock < moment + BEEP_SECONDS) for moment in moments], axis=0)
    wave = 0.5 * np.sin(2 * np.pi * 1000 * clock) * gate
    channels = {"mono": 1, "stereo": 2}[clip.layout]
    return write_frames(path, clip, frames, np.tile(wave, (channels, 1)).astype(np.float32))


def _beeps(path: Path) -> tuple[float, ...]:
    parts: list[tuple[Fraction, NDArray[np.float32], int]] = []
    with av.open(str(path)) as container:
        track: Any = container.streams.audio[0]
        converter = av.AudioResampler("flt", "mono", track.codec_context.sample_rate)
        for frame in container.decode(track):
            at = Fraction(frame.pts * frame.time_base)
            frame.pts = None
            for mono in converter.resample(frame):
                parts.append((at, mono.to_ndarray()[0], mono.sample_rate))
    found: list[float] = []
    for at, samples, rate in parts:
        for index in np.flatnonzero(np.abs(samples) > 0.15):
            seconds = float(at) + int(index) / rate
            if not found or seconds - found[-1] > 0.3:
                found.append(seconds)
    return tuple(found)
