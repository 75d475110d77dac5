"""Hear a recording as another microphone in another place would: the augmentations of the audio encoder's training."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Waveform = NDArray[np.float32]

REFERENCE_RMS = 0.1  # -20 dBFS
_FADE_SECONDS = 0.02


def hear(recording: Waveform, sample_rate_hz: int, samples: int, rng: np.random.Generator) -> Waveform:
    """One augmented window [samples] of a recording [M] (M > 0), at -20 dBFS RMS; silence stays silence.

    In the order of the world: the source (speed), the place (reverberation, room tone under what is nearly silent in
    between), the microphone (equalisation, band limits, hiss, overload) and the file (gaps, few bits).
    """
    speed = float(np.exp(rng.uniform(np.log(0.8), np.log(1.25)))) if rng.random() < 0.6 else 1.0
    window = loud_window(recording, round(samples * speed), rng)
    window = at_speed(window, samples)
    if rng.random() < 0.5:
        window = reverberate(window, sample_rate_hz, rng)
    if gap_depth_db(window, sample_rate_hz) > 30 and rng.random() < 0.85:
        window = at_level(window) + room_tone(samples, sample_rate_hz, rng) * _ratio(-rng.uniform(8, 40))
    if rng.random() < 0.85:
        window = equalise(window, sample_rate_hz, rng)
    window = at_level(window)
    if rng.random() < 0.15:
        drive = rng.uniform(1, 5) / REFERENCE_RMS / 4
        window = (np.tanh(window * drive) / drive).astype(np.float32)
    if rng.random() < 0.6:
        hiss = rng.standard_normal(samples).astype(np.float32) * REFERENCE_RMS
        window = window + hiss * _ratio(-rng.uniform(18, 55))
    if rng.random() < 0.2:
        window = few_bits(window, rng)
    if rng.random() < 0.1:
        window = with_gaps(window, sample_rate_hz, rng)
    return at_level(window)


def at_level(waveform: Waveform, rms: float = REFERENCE_RMS) -> Waveform:
    """The same waveform at an RMS level; digital silence stays."""
    level = float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64))))
    return (waveform * (rms / level)).astype(np.float32) if level > 1e-8 else waveform


def loud_window(recording: Waveform, samples: int, rng: np.random.Generator) -> Waveform:
    """[samples] from a random place, repeated if too short: the loudest of one to three, as serving prefers it."""
    if len(recording) <= samples:
        start = int(rng.integers(len(recording)))
        rolled = np.roll(recording, -start)
        return np.tile(rolled, -(-samples // len(rolled)))[:samples]
    draws = int(rng.integers(1, 4))
    windows = [recording[start : start + samples] for start in rng.integers(0, len(recording) - samples + 1, draws)]
    return max(windows, key=lambda window: float(np.mean(np.square(window))))


def loudest(recording: Waveform, samples: int, hop: int) -> Waveform:
    """The loudest window [samples] of a recording [M], to within `hop` samples; a shorter recording is repeated."""
    if len(recording) <= samples:
        return np.tile(recording, -(-samples // len(recording)))[:samples]
    energy = np.concatenate([[0.0], np.cumsum(np.square(recording, dtype=np.float64))])
    starts = np.arange(0, len(recording) - samples + 1, hop)
    start = int(starts[np.argmax(energy[starts + samples] - energy[starts])])
    return recording[start : start + samples]


def at_speed(window: Waveform, samples: int) -> Waveform:
    """[M] -> [samples] by linear interpolation: pitch and tempo change together."""
    if len(window) == samples:
        return window
    at = np.linspace(0, len(window) - 1, samples)
    return np.interp(at, np.arange(len(window)), window).astype(np.float32)


def reverberate(window: Waveform, sample_rate_hz: int, rng: np.random.Generator) -> Waveform:
    """Convolve with exponentially decaying noise: 0.1 to 1.5 s to fall by 60 dB, 0 to 20 dB below the direct sound.

    The place is repeated: what rings past the end comes back at the beginning.
    """
    decay_seconds = float(np.exp(rng.uniform(np.log(0.1), np.log(1.5))))
    length = min(len(window), round(decay_seconds * sample_rate_hz))
    time = np.arange(length) / sample_rate_hz
    tail = rng.standard_normal(length) * 10 ** (-3 * time / decay_seconds)
    tail *= _ratio(-rng.uniform(0, 20)) / np.sqrt(np.sum(tail**2))
    tail[0] += 1
    spectrum = np.fft.rfft(window) * np.fft.rfft(tail, len(window))
    return np.fft.irfft(spectrum, len(window)).astype(np.float32)


def equalise(window: Waveform, sample_rate_hz: int, rng: np.random.Generator) -> Waveform:
    """A smooth random curve of about 5 dB over the octaves, and half of the time a narrower pass band."""
    hertz = np.maximum(np.fft.rfftfreq(len(window), 1 / sample_rate_hz), 20)
    octaves = np.log2(hertz)
    knots = np.linspace(np.log2(40), np.log2(sample_rate_hz / 2), 8)
    gain_db = np.interp(octaves, knots, rng.normal(0, 5, 8))
    if rng.random() < 0.5:
        lowest = 30 * (500 / 30) ** rng.random()
        highest = 3_000 * (9_000 / 3_000) ** rng.random()
        slope = rng.integers(1, 5)  # 6 to 24 dB an octave
        gain_db -= 10 * slope * np.log10(1 + (lowest / hertz) ** 2)
        gain_db -= 10 * slope * np.log10(1 + (hertz / highest) ** 2)
    spectrum = np.fft.rfft(window) * 10 ** (np.maximum(gain_db, -80) / 20)
    return np.fft.irfft(spectrum, len(window)).astype(np.float32)


def room_tone(samples: int, sample_rate_hz: int, rng: np.random.Generator) -> Waveform:
    """What a quiet place sounds like: noise that falls by 0 to 8 dB an octave, slowly swelling; at -20 dBFS."""
    hertz = np.maximum(np.fft.rfftfreq(samples, 1 / sample_rate_hz), 30)
    spectrum = np.fft.rfft(rng.standard_normal(samples)) * hertz ** (-rng.uniform(0, 8) / 6.02)
    swell = np.interp(np.linspace(0, 1, samples), np.linspace(0, 1, 6), 10 ** (rng.normal(0, 2, 6) / 20))
    return at_level((np.fft.irfft(spectrum, samples) * swell).astype(np.float32))


def few_bits(window: Waveform, rng: np.random.Generator) -> Waveform:
    """8 bits by the mu-law, as a telephone does, or 7 to 11 linear bits of the peak."""
    peak = max(float(np.abs(window).max()), 1e-8)
    unit = window / peak
    if rng.random() < 0.5:
        compressed = np.sign(unit) * np.log1p(255 * np.abs(unit)) / np.log(256)
        steps = np.round(compressed * 127) / 127
        unit = np.sign(steps) * np.expm1(np.abs(steps) * np.log(256)) / 255
    else:
        scale = 2 ** (int(rng.integers(7, 12)) - 1)
        unit = np.round(unit * scale) / scale
    return (unit * peak).astype(np.float32)


def with_gaps(window: Waveform, sample_rate_hz: int, rng: np.random.Generator) -> Waveform:
    """One to three gaps of 0.05 to 0.5 s, faded in and out."""
    gate = np.ones(len(window), np.float32)
    fade = round(_FADE_SECONDS * sample_rate_hz)
    for _ in range(int(rng.integers(1, 4))):
        length = round(rng.uniform(0.05, 0.5) * sample_rate_hz)
        start = int(rng.integers(0, max(1, len(window) - length)))
        gate[start : start + length] = 0
    smooth = np.convolve(gate, np.full(fade, 1 / fade, np.float32), mode="same")
    return (window * smooth).astype(np.float32)


def gap_depth_db(window: Waveform, sample_rate_hz: int) -> float:
    """How far the quietest fifth of 50 ms frames lies below the mean power, in decibels."""
    frame = sample_rate_hz // 20
    frames = window[: len(window) // frame * frame].reshape(-1, frame)
    power = np.mean(np.square(frames, dtype=np.float64), axis=1)
    return float(10 * np.log10((power.mean() + 1e-14) / (np.quantile(power, 0.2) + 1e-14)))


def _ratio(decibels: float) -> float:
    return float(10 ** (decibels / 20))
