"""Levels, windows, mixes, and the report on what was heard."""

import numpy as np
import pytest

from service.heard import SoundWarning
from service.model.audio import Window, apply_gain_db, heard, loudness_dbfs, mix, mix_embeddings
from service.model.bundle import KnownSound
from tests.support.media import make_noise, make_tone
from tests.support.windows import pick_window

RATE_HZ = 16_000
CLIP = 3 * RATE_HZ
KNOWN = (KnownSound(name="rain", embedding=(0.9, 0.0)), KnownSound(name="birds", embedding=(0.0, 0.5)))


def window(waveform: np.ndarray) -> Window:
    return pick_window(waveform, CLIP, RATE_HZ)


def codes(waveform: np.ndarray, embedding: tuple[float, float] = (0.8, 0.1), speech: float | None = 0.0) -> list[str]:
    chosen = window(waveform)
    report = heard([chosen], chosen.waveform, np.array(embedding, np.float32), KNOWN, speech)
    return [warning.code for warning in report.warnings]


def test_loudness_of_a_square_wave_of_full_scale_is_zero() -> None:
    assert loudness_dbfs(np.ones(1000, np.float32)) == 0
    assert loudness_dbfs(make_tone(1, amplitude=1.0)) == pytest.approx(-3.01, abs=0.01)


def test_loudness_of_silence_is_finite() -> None:
    assert loudness_dbfs(np.zeros(1000, np.float32)) == -120
    assert loudness_dbfs(np.zeros(0, np.float32)) == -120


@pytest.mark.parametrize("gain_db", [-60.0, -6.0, 0.0, 24.0])
def test_gain_moves_the_loudness_by_itself(gain_db: float) -> None:
    tone = make_tone(1, amplitude=0.01)
    louder = apply_gain_db(tone, gain_db)
    assert louder.dtype == np.float32
    assert loudness_dbfs(louder) - loudness_dbfs(tone) == pytest.approx(gain_db, abs=0.01)


def test_no_gain_is_exactly_nothing() -> None:
    np.testing.assert_array_equal(apply_gain_db(make_noise(1), 0.0), make_noise(1))


def test_a_mix_is_convex_whatever_the_weights_sum_to() -> None:
    noise, tone = make_noise(1), make_tone(1)
    np.testing.assert_allclose(mix([noise, tone], [3, 1]), 0.75 * noise + 0.25 * tone, atol=1e-6)
    np.testing.assert_allclose(mix([noise, tone]), 0.5 * noise + 0.5 * tone, atol=1e-6)
    np.testing.assert_array_equal(mix([noise, tone], [0, 5]), tone)
    np.testing.assert_array_equal(mix([noise]), noise)


@pytest.mark.parametrize("weights", [[1.0], [1.0, -1.0], [0.0, 0.0], [1.0, 1.0, 1.0]])
def test_weights_that_make_no_mix_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="weight"):
        mix([make_noise(1), make_tone(1)], weights)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_embeddings_turn_evenly_from_one_sound_to_the_other(share: float) -> None:
    loud, quiet = np.array([0.9, 0, 0], np.float32), np.array([0, 0.3, 0], np.float32)
    mixed = mix_embeddings(np.stack([loud, quiet]), [1 - share, share])
    assert np.linalg.norm(mixed) == pytest.approx(0.9 * (1 - share) + 0.3 * share, rel=1e-5)
    assert mixed[1] * 0.9 * (1 - share) == pytest.approx(mixed[0] * 0.3 * share, abs=1e-6)


def test_a_single_embedding_stays_and_opposites_are_nothing() -> None:
    one = np.array([[0.3, -0.4]], np.float32)
    np.testing.assert_allclose(mix_embeddings(one), one[0], rtol=1e-6)
    np.testing.assert_array_equal(mix_embeddings(np.concatenate([one, -one])), np.zeros(2))


@pytest.mark.parametrize("weights", [[1.0], [1.0, -1.0], [0.0, 0.0]])
def test_weights_that_make_no_mix_of_embeddings_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="weight"):
        mix_embeddings(np.eye(2, dtype=np.float32), weights)


def test_sounds_of_different_lengths_are_not_mixed() -> None:
    with pytest.raises(ValueError, match="equal length"):
        mix([make_noise(1), make_tone(2)])


def test_what_is_wrong_with_the_file_is_among_the_warnings() -> None:
    note = SoundWarning(code="incomplete", detail="it breaks off")
    chosen = Window(make_noise(3), 0.0, 3.0, warnings=(note,))
    report = heard([chosen], chosen.waveform, np.array([0.8, 0.1], np.float32), KNOWN, 0.0)
    assert report.warnings == (note,)


def test_clipping_is_what_the_recording_had_before_it_was_mixed_down() -> None:
    chosen = Window(make_noise(3), 0.0, 3.0, clipped_share=0.02)
    report = heard([chosen], chosen.waveform, np.array([0.8, 0.1], np.float32), KNOWN, 0.0)
    assert [warning.code for warning in report.warnings] == ["clipping"]
    assert "2.0%" in report.warnings[0].detail


def test_the_nearest_known_sounds_come_with_their_cosines() -> None:
    chosen = window(make_noise(4))
    report = heard([chosen], chosen.waveform, np.array([0.3, 0.4], np.float32), KNOWN, None)
    assert [(near.name, near.score) for near in report.nearest] == [("birds", 0.8), ("rain", 0.6)]
    assert report.effect == 0.5
    assert report.speech_share is None
    assert report.windows[0].length_seconds == 3


def test_loudness_and_peak_are_those_after_the_gain() -> None:
    chosen = window(make_tone(3, amplitude=0.5))
    report = heard([chosen], apply_gain_db(chosen.waveform, -20), np.array([1, 0], np.float32), KNOWN, None)
    assert report.peak == pytest.approx(0.05, rel=0.01)
    assert report.loudness_dbfs == pytest.approx(-29.03, abs=0.02)


def test_an_ordinary_sound_gives_no_warning() -> None:
    assert codes(make_noise(3)) == []


def test_silence_is_warned_of_and_near_to_nothing() -> None:
    chosen = window(np.zeros(CLIP, np.float32))
    report = heard([chosen], chosen.waveform, np.zeros(2, np.float32), KNOWN, 0.0)
    assert [warning.code for warning in report.warnings] == ["silence"]
    assert report.nearest == ()


def test_clipping_speech_and_strangeness_are_warned_of() -> None:
    assert codes(np.clip(make_noise(3, rms=0.9), -1, 1)) == ["clipping"]
    assert codes(make_noise(3), speech=0.6) == ["speech"]
    assert codes(make_noise(3), embedding=(-0.5, -0.5)) == ["unfamiliar"]


WITH_STRANGERS = (
    KnownSound(name="rain", embedding=(1.0, 0.0, 0.0)),
    KnownSound(name="birds", embedding=(0.0, 1.0, 0.0)),
    KnownSound(name="speech", embedding=(0.0, 0.0, 1.0), known=False),
)


@pytest.mark.parametrize(
    ("embedding", "unfamiliar"),
    [
        ((0.9, 0.0, 0.0), False),
        ((0.6, 0.6, 0.0), False),  # a mix of two scenes is no stranger
        ((0.9, 0.0, 0.1), False),
        ((0.5, 0.0, 0.16), True),  # more speech than rain, since a stranger weighs 0.3
        ((0.0, 0.0, 0.02), True),  # short as a stranger's is at an ordinary level
    ],
)
def test_a_stranger_is_named_and_warned_of(embedding: tuple[float, ...], unfamiliar: bool) -> None:
    chosen = window(make_noise(3))
    report = heard([chosen], chosen.waveform, np.array(embedding, np.float32), WITH_STRANGERS, None)
    assert [warning.code for warning in report.warnings] == ["unfamiliar"] * unfamiliar
    assert all("speech" in warning.detail for warning in report.warnings)
    assert {near.name: near.known for near in report.nearest} == {"rain": True, "birds": True, "speech": False}


def test_a_stranger_beyond_the_nearest_three_is_warned_of_all_the_same() -> None:
    scenes = [KnownSound(name=f"scene {i}", embedding=(1.0, 0.1 * i, 0.0)) for i in range(4)]
    chosen = window(make_noise(3))
    embedding = np.array([0.6, 0.1, 0.3], np.float32)
    report = heard([chosen], chosen.waveform, embedding, [*scenes, WITH_STRANGERS[2]], None)
    assert [warning.code for warning in report.warnings] == ["unfamiliar"]
    assert len(report.nearest) == 3


def test_a_model_that_knows_no_sounds_calls_none_unfamiliar() -> None:
    chosen = window(make_noise(3))
    assert heard([chosen], chosen.waveform, np.array([1, 0], np.float32), (), None).warnings == ()
