"""Mono audio at another rate, whole or piece by piece."""

import numpy as np
import pytest

from service.media.resampler import MonoResampler


def tone(rate_hz: int) -> np.ndarray:
    return np.sin(2 * np.pi * 440 * np.arange(rate_hz) / rate_hz).astype(np.float32)


@pytest.mark.parametrize("pieces", [1, 7])
def test_a_tone_is_the_same_tone_at_another_rate(pieces: int) -> None:
    resampler = MonoResampler(48_000, 16_000)
    parts = [resampler.push(part) for part in np.array_split(tone(48_000), pieces)]
    made = np.concatenate([*parts, resampler.finish()])
    assert len(made) == pytest.approx(16_000, abs=1)
    inner = slice(100, 15_900)  # the filter has half of its input at the ends
    assert np.abs(made[inner] - tone(16_000)[inner]).max() < 0.01


def test_equal_rates_change_nothing() -> None:
    resampler = MonoResampler(16_000, 16_000)
    assert np.array_equal(resampler.push(tone(16_000)), tone(16_000))
    assert len(resampler.finish()) == 0
