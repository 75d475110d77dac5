"""Make videos whose images turn white at the moment that a click is heard."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

RATE_HZ = 48_000


def flash_and_click(
    path: Path,
    moments: Sequence[float],
    seconds: float = 7.0,
    lit_seconds: float = 0.3,
    steps_ms: Sequence[int] = (40,),
    video_from: float = 0.0,
    audio_from: float = 0.0,
    noise: float = 0.0,
) -> Path:
    """Black, white for `lit_seconds` from each moment on, when it clicks; frames `steps_ms` apart in turn.

    Images and sound begin where they are told to; the level of the noise is its RMS.
    """
    wave = np.random.default_rng(len(path.name)).normal(0, noise, round((seconds - audio_from) * RATE_HZ))
    for moment in moments:
        wave[round((moment - audio_from) * RATE_HZ) :][:48] = 0.9
    times = [video_from]
    while times[-1] < seconds:
        times.append(round(times[-1] + steps_ms[(len(times) - 1) % len(steps_ms)] / 1000, 3))
    light = [any(moment <= time < moment + lit_seconds for moment in moments) for time in times[:-1]]
    return write_light(path, times[:-1], light, wave, audio_from)


def write_light(
    path: Path, times: Sequence[float], light: Sequence[bool], wave: NDArray[np.float64], audio_from: float = 0.0
) -> Path:
    """Frames of 160 x 96, black or white, at those times, and mono [N] of `RATE_HZ` as the sound."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 160, 96, "yuv420p"
        video.codec_context.time_base = Fraction(1, 1000)
        audio = container.add_stream("pcm_s16le", rate=RATE_HZ, layout="mono")
        for time, lit in zip(times, light, strict=True):
            frame = av.VideoFrame.from_ndarray(np.full((96, 160, 3), 255 if lit else 0, np.uint8), format="rgb24")
            frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        samples = (wave.clip(-1, 1) * 32767).astype(np.int16)[None]
        for begin in range(0, samples.shape[1], 1024):
            sound = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(samples[:, begin : begin + 1024]), format="s16", layout="mono"
            )
            sound.rate, sound.time_base = RATE_HZ, Fraction(1, RATE_HZ)
            sound.pts = begin + round(audio_from * RATE_HZ)
            container.mux(audio.encode(sound))
        container.mux(audio.encode(None))
    return path
