"""Windows of waveforms that are in memory, as the service finds them in files."""

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from service.media.window_search import LoudestWindow
from service.model.audio import Window


def pick_window(
    waveform: NDArray[np.float32], clip_samples: int, sample_rate_hz: int, start_seconds: float | None = None
) -> Window:
    """The window at `start_seconds`, or the loudest one of [M]; a shorter sound is repeated."""
    if len(waveform) < clip_samples:
        repeated = np.tile(waveform, -(-clip_samples // len(waveform)))[:clip_samples]
        return Window(repeated, 0.0, len(waveform) / sample_rate_hz)
    start = 0 if start_seconds is None else round(start_seconds * sample_rate_hz)
    if start_seconds is None:
        search = LoudestWindow(clip_samples, sample_rate_hz)
        search.push(waveform[None])
        start = search.start
    return Window(waveform[start : start + clip_samples], start / sample_rate_hz, clip_samples / sample_rate_hz)


def low_noise(seconds: float, sample_rate_hz: int, seed: int = 3) -> NDArray[np.float32]:
    """[N]: noise below 1.5 kHz, which every codec keeps and whose place in time can be measured."""
    noise = np.random.default_rng(seed).normal(0, 0.2, round(seconds * sample_rate_hz))
    low: NDArray[np.float64] = signal.sosfilt(signal.butter(4, 3000 / sample_rate_hz, output="sos"), noise)
    return low.astype(np.float32)
