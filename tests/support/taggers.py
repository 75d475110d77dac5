"""A stand-in for a tagger: what is one steady tone is music, all else is rain."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray


def tone_is_music() -> Callable[[NDArray[np.float32]], Mapping[str, float]]:
    """A tagger as `--tagger MODULE:FUNCTION` wants it."""

    def tag(waveform: NDArray[np.float32]) -> Mapping[str, float]:
        power = np.abs(np.fft.rfft(waveform)) ** 2
        music = float(power.max() / power.sum())
        return {"Music": music, "Rain": 1 - music}

    return tag
