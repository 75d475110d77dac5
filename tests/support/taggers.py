"""Stand-ins for a tagger, as `--tagger MODULE:FUNCTION` wants them: what is one steady tone is told from all else."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray


def tone_is_music() -> Callable[[NDArray[np.float32]], Mapping[str, float]]:
    """All but tones is rain."""
    return _tone_is("Music")


def tone_is_bird() -> Callable[[NDArray[np.float32]], Mapping[str, float]]:
    """All but tones is rain."""
    return _tone_is("Bird")


def _tone_is(name: str) -> Callable[[NDArray[np.float32]], Mapping[str, float]]:
    def tag(waveform: NDArray[np.float32]) -> Mapping[str, float]:
        power = np.abs(np.fft.rfft(waveform)) ** 2
        tone = float(power.max() / max(float(power.sum()), 1e-12))
        return {name: tone, "Rain": 1 - tone}

    return tag
