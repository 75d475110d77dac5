"""Synthesize the example sounds: noise, resonances and chirps put together by rule. No recording is involved.

Each function draws from the generator that it is given, so a sound is the same at every call. Waveforms are mono
[samples]; the level of each is set afterwards: it is what drives the strength of the effect.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

Waveform = NDArray[np.float32]
Samples = NDArray[np.float64]

SAMPLE_RATE_HZ: Final = 32_000
SECONDS: Final = 8.0
_COUNT: Final = round(SECONDS * SAMPLE_RATE_HZ)
_FADE_SECONDS: Final = 0.03
_PEAK: Final = 0.9
_SEED: Final = 7


def shaped_noise(rng: np.random.Generator, count: int, gain_at: Callable[[Samples], Samples]) -> Samples:
    """[count]: Gaussian noise of about unit power in each band where `gain_at` [hertz] is 1."""
    hertz = np.asarray(np.fft.rfftfreq(count, 1 / SAMPLE_RATE_HZ), np.float64)
    return np.asarray(np.fft.irfft(np.fft.rfft(rng.standard_normal(count)) * gain_at(hertz), count))


def band(low_hertz: float, high_hertz: float, slope: float = 2.0) -> Callable[[Samples], Samples]:
    """A gain that is 1 between two frequencies and falls as frequency ** slope outside."""

    def gain_at(hertz: Samples) -> Samples:
        hertz = np.maximum(hertz, 1.0)
        return np.asarray(np.minimum(hertz / low_hertz, 1) ** slope * np.minimum(high_hertz / hertz, 1) ** slope)

    return gain_at


def slow_curve(rng: np.random.Generator, points: int, low: float, high: float) -> Samples:
    """[_COUNT]: a smooth random course between two values."""
    place = np.linspace(0, points - 1, _COUNT)
    values, index = rng.uniform(low, high, points + 1), place.astype(int)
    share = 0.5 - 0.5 * np.cos(np.pi * (place - index))
    return np.asarray(values[index] * (1 - share) + values[index + 1] * share)


def add(target: Samples, part: Samples, start: int) -> None:
    """Add a short sound to a longer one; what lies beyond the end is dropped."""
    stop = min(len(target), start + len(part))
    if stop > start:
        target[start:stop] += part[: stop - start]


def rain(rng: np.random.Generator, drops_per_second: float, hiss: float, low_hertz: float) -> Samples:
    """Drops that burst at random moments over the hiss of those further away."""
    wave = hiss * shaped_noise(rng, _COUNT, band(low_hertz, 7_000, 0.7))
    starts = rng.integers(0, _COUNT, round(drops_per_second * SECONDS))
    impulses = np.zeros(_COUNT)
    np.add.at(impulses, starts, rng.standard_normal(len(starts)) * rng.gamma(1.0, 1.0, len(starts)))
    hertz = np.asarray(np.fft.rfftfreq(_COUNT, 1 / SAMPLE_RATE_HZ), np.float64)
    patter = np.fft.irfft(np.fft.rfft(impulses) * band(1_200, 6_500, 1.2)(hertz), _COUNT)
    wave += patter * 6
    for start in starts[:: max(1, len(starts) // 120)]:  # some fall close by, into water: a bubble rings
        time = np.arange(round(0.03 * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
        pitch = rng.uniform(900, 3_200) * (1 + 4 * time)
        add(wave, rng.uniform(0.2, 0.9) * np.sin(2 * np.pi * pitch * time) * np.exp(-time / 0.006), int(start))
    return wave


def thunder(rng: np.random.Generator) -> Samples:
    """Two claps whose low rumble rolls on, over far rain."""
    wave = 0.06 * shaped_noise(rng, _COUNT, band(600, 5_000, 0.8))
    for start_seconds, strength in ((0.5, 1.0), (4.3, 0.8)):
        count = round(4.5 * SAMPLE_RATE_HZ)
        time = np.arange(count) / SAMPLE_RATE_HZ
        rumble = shaped_noise(rng, count, band(25, 100, 1.6))
        rolling = np.exp(-time / 1.6) * (1 - np.exp(-time / 0.05))
        for _ in range(9):  # echoes of the long channel arrive one after the other
            centre, width = rng.uniform(0.1, 3.5), rng.uniform(0.08, 0.35)
            rolling += rng.uniform(0.3, 1.2) * np.exp(-(((time - centre) / width) ** 2)) * np.exp(-centre / 1.8)
        crack = shaped_noise(rng, count, band(60, 600, 1.0)) * np.exp(-time / 0.18) * (1 - np.exp(-time / 0.004))
        add(wave, strength * (3.0 * rumble * rolling + 0.15 * crack), round(start_seconds * SAMPLE_RATE_HZ))
    return wave


def steps(rng: np.random.Generator, step: Callable[[np.random.Generator], Samples], period_seconds: float) -> Samples:
    """One step after the other, as even as somebody walks, in the faint tone of an open place."""
    wave, position = np.zeros(_COUNT), 0.15
    while position < SECONDS - 0.3:
        add(wave, rng.uniform(0.8, 1.2) * step(rng), round(position * SAMPLE_RATE_HZ))
        position += period_seconds * rng.uniform(0.93, 1.07)
    tone = shaped_noise(rng, _COUNT, band(100, 1_500, 0.8))
    return np.asarray(wave + 0.05 * np.sqrt(np.mean(wave**2)) * tone)


def grains(
    rng: np.random.Generator, seconds: float, count: int, low_hertz: float, high_hertz: float, decay_seconds: float
) -> Samples:
    """[seconds]: short bursts of noise in a band, most of them early: something that breaks, rubs or rolls."""
    size = round(seconds * SAMPLE_RATE_HZ)
    wave, length = np.zeros(size), max(8, round(6 * decay_seconds * SAMPLE_RATE_HZ))
    envelope = np.exp(-np.arange(length) / (decay_seconds * SAMPLE_RATE_HZ))
    for _ in range(count):
        burst = shaped_noise(rng, length, band(low_hertz, high_hertz, 2)) * envelope
        add(wave, rng.gamma(0.7, 1.0) * burst, int(rng.beta(1.6, 2.2) * size))
    return wave


def snow_step(rng: np.random.Generator) -> Samples:
    """Snow that is pressed together: a dull thud, and a dense, dark creak that slips faster and faster."""
    count = round(0.32 * SAMPLE_RATE_HZ)
    time = np.arange(count) / SAMPLE_RATE_HZ
    creak = shaped_noise(rng, count, band(300, 1_800, 2.4))
    slips = np.cumsum(90 + 30 * time / time[-1]) / SAMPLE_RATE_HZ
    stick_slip = 0.75 + 0.25 * np.sign(np.sin(2 * np.pi * slips + rng.uniform(0, 6)))
    press = np.sin(np.pi * np.minimum(time / 0.28, 1)) ** 1.5
    thud = shaped_noise(rng, count, band(60, 220, 1.5)) * np.exp(-time / 0.05)
    return creak * stick_slip * press + 0.6 * thud + 0.2 * grains(rng, 0.32, 40, 600, 5_500, 0.002)


def leaf_step(rng: np.random.Generator) -> Samples:
    """Dry leaves that break and brush each other."""
    rustle = grains(rng, 0.55, 160, 1_200, 6_000, 0.004)
    count = len(rustle)
    time = np.arange(count) / SAMPLE_RATE_HZ
    brush = shaped_noise(rng, count, band(2_000, 8_000, 1.2)) * np.sin(np.pi * np.minimum(time / 0.5, 1)) ** 1.2
    return 0.5 * rustle + 0.5 * brush


def gravel_step(rng: np.random.Generator) -> Samples:
    """Pebbles that knock and grind: harder and lower than leaves, with an end that trickles."""
    knocks = grains(rng, 0.43, 44, 1_800, 3_600, 0.005)
    size = len(knocks)
    time = np.arange(size) / SAMPLE_RATE_HZ
    thud = shaped_noise(rng, size, band(100, 600, 1.5)) * np.exp(-time / 0.027)
    return knocks + 0.3 * thud


def birdsong(rng: np.random.Generator) -> Samples:
    """Three birds, each with its own phrases of sweeps and trills, in a faint rustle."""
    wave = 0.004 * shaped_noise(rng, _COUNT, band(800, 5_000, 1.0))
    for base, distance in ((3_200.0, 1.0), (4_400.0, 0.6), (2_600.0, 0.4)):
        position = rng.uniform(0.0, 0.6)
        while position < SECONDS - 0.5:
            for _ in range(int(rng.integers(3, 9))):
                length = rng.uniform(0.05, 0.16)
                time = np.arange(round(length * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
                first, last = base * rng.uniform(0.8, 1.35, 2)
                bend = rng.uniform(-0.2, 0.2) * base * np.sin(np.pi * time / length)
                wobble = rng.choice([0.0, 0.04]) * base * np.sin(2 * np.pi * rng.uniform(28, 45) * time)
                pitch = first + (last - first) * time / length + bend + wobble
                phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE_HZ
                tone = np.sin(phase) + 0.12 * np.sin(2 * phase)
                note = tone * np.sin(np.pi * time / length) ** 0.8 * distance * rng.uniform(0.5, 1)
                for delay, echo in ((0.0, 1.0), (0.043, 0.18), (0.091, 0.1)):
                    add(wave, echo * note, round((position + delay) * SAMPLE_RATE_HZ))
                position += length + rng.uniform(0.015, 0.08)
            position += rng.uniform(0.3, 1.2)
    return wave


def crickets(rng: np.random.Generator) -> Samples:
    """A meadow of crickets: pulses of one pitch each, in chirps that go on and on."""
    wave = 0.01 * shaped_noise(rng, _COUNT, band(1_500, 6_000, 1.0))
    for distance in (1.0, 0.7, 0.5, 0.35, 0.25):
        pitch, period = rng.uniform(4_000, 4_900), rng.uniform(0.35, 0.6)
        pulses, spacing = int(rng.integers(3, 5)), rng.uniform(0.026, 0.034)
        position = rng.uniform(0, period)
        time = np.arange(round(0.018 * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
        envelope = np.sin(np.pi * time / time[-1])
        while position < SECONDS:
            for pulse in range(pulses):
                tone = np.sin(2 * np.pi * pitch * (1 - 0.6 * time) * time) * envelope
                add(wave, distance * (0.6 + 0.2 * pulse) * tone, round((position + pulse * spacing) * SAMPLE_RATE_HZ))
            position += period * rng.uniform(0.97, 1.03)
    return wave


def wind(rng: np.random.Generator) -> Samples:
    """Gusts in dry leaves: the air's low roar, and leaves that brush and tick, the more the stronger a gust is."""
    gust = slow_curve(rng, 9, 0.15, 1.0)
    roar = shaped_noise(rng, _COUNT, band(50, 150, 1.3)) * gust
    flutter = np.abs(shaped_noise(rng, _COUNT, band(0.5, 3, 2)))
    brush = shaped_noise(rng, _COUNT, band(800, 5_000, 1.2)) * gust**2 * flutter / flutter.mean()
    ticks = grains(rng, SECONDS, 500, 1_200, 6_000, 0.004) * gust**2
    return np.asarray(roar + 0.5 * brush + 0.2 * ticks)


def finish(wave: Samples, level_dbfs: float) -> Waveform:
    """[samples]: at that level (RMS, in dB of full scale), with soft peaks and ends."""
    wave = wave / np.sqrt(np.mean(wave**2)) * 10 ** (level_dbfs / 20)
    wave = _PEAK * np.tanh(wave / _PEAK)
    fade = np.minimum(1, np.arange(_COUNT) / (_FADE_SECONDS * SAMPLE_RATE_HZ))
    return np.asarray(wave * fade * fade[::-1], np.float32)


@dataclass(frozen=True)
class Sound:
    """title: for people. scene: as which the shipped model hears it. make: draws it. level_dbfs: how loud it is."""

    title: str
    scene: str
    make: Callable[[np.random.Generator], Samples]
    level_dbfs: float

    def waveform(self) -> Waveform:
        """[samples] at SAMPLE_RATE_HZ, the same at every call."""
        return finish(self.make(np.random.default_rng(_SEED)), self.level_dbfs)


SOUNDS: Final[dict[str, Sound]] = {
    "rain-light": Sound("Light rain", "rain", partial(rain, drops_per_second=60, hiss=0.25, low_hertz=900), -36),
    "rain": Sound("Rain", "rain", partial(rain, drops_per_second=600, hiss=0.6, low_hertz=500), -27),
    "rain-heavy": Sound("Heavy rain", "rain", partial(rain, drops_per_second=2_500, hiss=0.8, low_hertz=350), -20),
    "thunder": Sound("Thunder", "storm", thunder, -20),
    "snow-steps": Sound("Steps in snow", "snow", partial(steps, step=snow_step, period_seconds=0.71), -24),
    "leaf-steps": Sound("Steps in leaves", "autumn", partial(steps, step=leaf_step, period_seconds=0.62), -24),
    "gravel-steps": Sound("Steps on gravel", "desert", partial(steps, step=gravel_step, period_seconds=0.72), -24),
    "birdsong": Sound("Birdsong", "summer", birdsong, -24),
    "crickets": Sound("Crickets", "night", crickets, -26),
    "wind": Sound("Wind in dry leaves", "autumn", wind, -24),
}
