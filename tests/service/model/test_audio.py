"""Levels, windows, mixes, and the report on what was heard."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.model.audio import Window, apply_gain_db, heard, loudness_dbfs, mix, pick_window
from service.model.bundle import KnownSound
from tests.support.media import make_noise, make_tone

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


def test_sounds_of_different_lengths_are_not_mixed() -> None:
    with pytest.raises(ValueError, match="equal length"):
        mix([make_noise(1), make_tone(2)])


def test_the_loudest_window_is_found() -> None:
    waveform = make_noise(20, rms=0.01)
    waveform[11 * RATE_HZ : 14 * RATE_HZ] *= 20
    chosen = window(waveform)
    assert chosen.start_seconds == pytest.approx(11, abs=0.02)
    assert chosen.length_seconds == 3
    assert len(chosen.waveform) == CLIP


# no subnormals: PyTorch, used by other tests of this process, may have set the processor to flush them
@given(st.integers(1, 5 * 1600), st.one_of(st.none(), st.floats(0, 100, allow_subnormal=False)))
def test_a_window_is_always_full_and_inside(samples: int, start_seconds: float | None) -> None:
    waveform = np.arange(samples, dtype=np.float32)
    chosen = pick_window(waveform, 480, 1600, start_seconds)
    assert len(chosen.waveform) == 480
    if samples >= 480:
        np.testing.assert_array_equal(np.diff(chosen.waveform), 1)
        assert chosen.waveform[0] == round(chosen.start_seconds * 1600)


def test_a_start_is_kept_and_moved_back_only_from_the_end() -> None:
    waveform = make_noise(10)
    assert pick_window(waveform, CLIP, RATE_HZ, 2.5).start_seconds == 2.5
    assert pick_window(waveform, CLIP, RATE_HZ, 9.0).start_seconds == 7.0


def test_a_short_sound_is_repeated() -> None:
    noise = make_noise(1.25)
    chosen = window(noise)
    np.testing.assert_array_equal(chosen.waveform[: len(noise)], chosen.waveform[len(noise) : 2 * len(noise)])
    assert chosen.length_seconds == 1.25


def test_an_empty_sound_has_no_window() -> None:
    with pytest.raises(ValueError, match="empty"):
        window(np.zeros(0, np.float32))


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
