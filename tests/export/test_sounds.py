"""The sounds of a manifest: what an encoder with fixed directions names, and how the service reports it."""

import numpy as np
import torch

from export.sounds import sounds_of
from service.model.audio import heard
from tests.support.media import make_noise
from tests.support.windows import pick_window
from training.models.scene_audio_encoder import STRANGER_WEIGHT, SceneAudioConfig, SceneAudioEncoder

CONFIG = SceneAudioConfig(scenes=("snow", "rain"), strangers=("speech", "fire"), widths=(4, 8, 8, 8), embedding_dim=8)


def codes(kinds: list[float]) -> list[str]:
    """The warnings about a sound of which the encoder thinks so."""
    encoder = SceneAudioEncoder(CONFIG)
    embedding = encoder.scene_embedding(torch.tensor([kinds]))[0].numpy()
    window = pick_window(make_noise(3), CONFIG.clip_samples, CONFIG.sample_rate_hz)
    report = heard([window], window.waveform, embedding, sounds_of(encoder), None)
    return [warning.code for warning in report.warnings]


def test_scenes_are_known_and_strangers_are_not() -> None:
    sounds = sounds_of(SceneAudioEncoder(CONFIG))
    assert [(sound.name, sound.known) for sound in sounds] == [
        ("snow", True),
        ("rain", True),
        ("speech", False),
        ("fire", False),
    ]
    assert np.allclose(np.linalg.norm([sound.embedding for sound in sounds], axis=1), 1)


def test_the_service_warns_from_the_point_where_a_stranger_is_likelier() -> None:
    """Its threshold belongs to STRANGER_WEIGHT: an embedding that is half stranger has this cosine with it."""
    assert STRANGER_WEIGHT / np.hypot(1, STRANGER_WEIGHT) > 0.287
    assert codes([0.0, 0.52, 0.48, 0.0]) == []
    assert codes([0.0, 0.45, 0.55, 0.0]) == ["unfamiliar"]
    assert codes([0.0, 0.02, 0.0, 0.98]) == ["unfamiliar"]
    assert codes([0.5, 0.45, 0.05, 0.0]) == []
