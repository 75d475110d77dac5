"""Change the sample rate of mono audio as it passes."""

import av
import numpy as np
from numpy.typing import NDArray

Waveform = NDArray[np.float32]


class MonoResampler:
    """From `source_rate_hz` to `rate_hz`; equal rates pass unchanged."""

    def __init__(self, source_rate_hz: int, rate_hz: int) -> None:
        self._source_rate_hz = source_rate_hz
        self._is_needed = source_rate_hz != rate_hz
        self._resampler = av.AudioResampler("flt", "mono", rate_hz)

    def push(self, samples: Waveform) -> Waveform:
        """[n] -> [m]: what can be computed so far."""
        if not self._is_needed or not len(samples):
            return samples
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None], np.float32), format="flt", layout="mono")
        frame.sample_rate = self._source_rate_hz
        return _joined(self._resampler.resample(frame))

    def finish(self) -> Waveform:
        """[m]: the rest."""
        return _joined(self._resampler.resample(None)) if self._is_needed else np.zeros(0, np.float32)


def _joined(frames: list[av.AudioFrame]) -> Waveform:
    return np.concatenate([np.zeros(0, np.float32), *(frame.to_ndarray()[0] for frame in frames)])
