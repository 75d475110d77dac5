"""Sounds of no scene, made from nothing: noises, hums, tones and simple music, since recordings of them are few."""

from __future__ import annotations

import numpy as np

from training.data.audio_augmentation import Waveform, at_level, room_tone


def synthetic_stranger(sample_rate_hz: int, samples: int, rng: np.random.Generator) -> tuple[str, Waveform]:
    """A kind ("noise", "music", "city" or "impacts") and a waveform [samples] of it at -20 dBFS."""
    draw = rng.random()
    if draw < 0.3:
        return "noise", at_level(_noise(sample_rate_hz, samples, rng))
    if draw < 0.4:
        return "noise", at_level(_hum(sample_rate_hz, samples, rng))
    if draw < 0.75:
        return "music", at_level(_music(sample_rate_hz, samples, rng))
    if draw < 0.85:
        return "city", at_level(_engine(sample_rate_hz, samples, rng))
    return "impacts", at_level(_impacts(sample_rate_hz, samples, rng))


def _noise(rate: int, samples: int, rng: np.random.Generator) -> Waveform:
    """Stationary noise of any colour, sometimes in a band only."""
    hertz = np.maximum(np.fft.rfftfreq(samples, 1 / rate), 20)
    spectrum = np.fft.rfft(rng.standard_normal(samples)) * hertz ** (rng.choice([0.5, 0, -0.25, -0.5, -0.75, -1, -1.5]))
    if rng.random() < 0.3:
        low, high = sorted(60 * (7_500 / 60) ** rng.random(2))
        spectrum[(hertz < low) | (hertz > max(high, 1.3 * low))] *= 0.02
    return np.fft.irfft(spectrum, samples).astype(np.float32)


def _hum(rate: int, samples: int, rng: np.random.Generator) -> Waveform:
    """Mains hum or a fan: harmonics of 45 to 240 Hz over noise."""
    time = np.arange(samples) / rate
    base = rng.uniform(45, 240)
    wave = sum(rng.random() / n * np.sin(2 * np.pi * base * n * time + 6.28 * rng.random()) for n in range(1, 16))
    return (np.asarray(wave) + room_tone(samples, rate, rng) * rng.uniform(0, 8)).astype(np.float32)


def _engine(rate: int, samples: int, rng: np.random.Generator) -> Waveform:
    """A motor: harmonics whose pitch wanders, with rough amplitude, over broad noise."""
    pitch = np.interp(
        np.linspace(0, 1, samples), np.linspace(0, 1, 5), rng.uniform(30, 140) * rng.uniform(0.8, 1.25, 5)
    )
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    wave = sum(rng.random() / n**0.7 * np.sin(n * phase + 6.28 * rng.random()) for n in range(1, 20))
    rough = 1 + 0.5 * np.sin(phase * rng.choice([0.25, 0.5, 1]))
    return (np.asarray(wave) * rough + room_tone(samples, rate, rng) * rng.uniform(2, 15)).astype(np.float32)


def _music(rate: int, samples: int, rng: np.random.Generator) -> Waveform:
    """Notes of a scale in a steady tempo, plucked or held, in chords or a line, with or without a drum."""
    scale = np.array([0, 2, 4, 5, 7, 9, 11, 12, 14, 16]) if rng.random() < 0.5 else np.array([0, 3, 5, 7, 10, 12, 15])
    root, beat = 110 * 2 ** rng.uniform(0, 2), rng.uniform(0.12, 0.6)
    partials = rng.random(8) * np.arange(1, 9) ** -rng.uniform(0.5, 2.5)
    decay, voices, drum = rng.choice([0.15, 0.4, 1.5]), int(rng.integers(1, 4)), rng.random() < 0.4
    wave = np.zeros(samples)
    for start in np.arange(0, samples, round(beat * rate)):
        length = min(samples - start, round(min(2.0, 4 * decay) * rate))
        time = np.arange(length) / rate
        envelope = np.minimum(1, time / 0.01) * np.exp(-time / decay)
        for note in rng.choice(scale, voices):
            hertz = root * 2 ** (note / 12)
            audible = [n for n in range(8) if hertz * (n + 1) < rate / 2.2]
            tones = sum(partials[n] * np.sin(2 * np.pi * hertz * (n + 1) * time) for n in audible)
            wave[start : start + length] += np.asarray(tones) * envelope
        if drum:
            hit = rng.standard_normal(length) * np.exp(-time / rng.choice([0.02, 0.08]))
            wave[start : start + length] += rng.uniform(0.2, 1) * hit
    return wave.astype(np.float32)


def _impacts(rate: int, samples: int, rng: np.random.Generator) -> Waveform:
    """Knocks and clinks: damped resonances at random times over a room tone."""
    wave = room_tone(samples, rate, rng).astype(np.float64) * rng.uniform(0.01, 0.1)
    modes, decay = 150 * (5_000 / 150) ** rng.random(int(rng.integers(2, 7))), rng.uniform(0.01, 0.25)
    for _ in range(int(rng.integers(2, 12))):
        start = int(rng.integers(0, samples - rate // 10))
        time = np.arange(samples - start) / rate
        ring = sum(rng.random() * np.sin(2 * np.pi * mode * time) for mode in modes)
        wave[start:] += rng.uniform(0.3, 1) * np.asarray(ring) * np.exp(-time / decay)
    return wave.astype(np.float32)
