"""A clip on which the sound and the image of rain swell and fade together."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.support.video import Clip, pan, write_frames

RATE_HZ = 48_000


def rainy_clip(path: Path, clip: Clip, image: NDArray[np.uint8], seed: int = 0) -> Path:
    """A pan over a photograph through falling streaks; both they and the noise that they make swell and fade."""
    rng = np.random.default_rng(seed)
    seconds = clip.frames / clip.fps
    level_db = -40 + 28 * np.sin(np.pi * np.arange(round(seconds * RATE_HZ)) / (seconds * RATE_HZ)) ** 2
    noise = np.cumsum(rng.normal(0, 1, len(level_db)))
    hiss = np.diff(noise - np.convolve(noise, np.ones(64) / 64, "same"), prepend=0)
    sound = (hiss / np.std(hiss) * 10 ** (level_db / 20)).astype(np.float32)

    def frames() -> Iterator[NDArray[np.uint8]]:
        for index in range(clip.frames):
            frame = pan(image, clip.width, clip.height, index / max(1, clip.frames - 1)).copy()
            loudness = level_db[min(len(level_db) - 1, index * RATE_HZ // clip.fps)]
            for _ in range(round(60 * (loudness + 40) / 28)):
                x, y = rng.integers(clip.width), rng.integers(clip.height)
                cv2.line(frame, (int(x), int(y)), (int(x) - 3, int(y) + 14), (205, 205, 210), 1, cv2.LINE_AA)
            yield frame

    return write_frames(path, clip, frames(), np.stack([sound, sound]).clip(-1, 1))
