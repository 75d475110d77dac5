"""The held-out stretches of sound that drive the pictures of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from training.data import media
from training.data.index import Pair

DRAWN_AT_HZ = 16_000


@dataclass(frozen=True)
class Window:
    """`seconds` of a sound from `start` on, tiled where the sound's stretch ends at `stop`."""

    sound: Path
    start: float
    stop: float
    seconds: float

    def waveform(self, sample_rate_hz: int) -> Tensor:
        """[N], the level as recorded."""
        whole = media.read_sound(self.sound, sample_rate_hz)[: round(self.stop * sample_rate_hz)]
        return media.window(whole, round(self.start * sample_rate_hz), round(self.seconds * sample_rate_hz))


def draw_windows(pairs: Sequence[Pair], scene: str, seconds: float, count: int, seed: int) -> list[Window]:
    """`count` windows of the scene's held-out sounds, of three drawn the loudest."""
    rng = np.random.default_rng((seed, len(scene)))
    stretches = sorted({(p.sound, p.start, p.seconds) for p in pairs if p.scene == scene and p.sound is not None})
    chosen = []
    for _ in range(count):
        sound, start, length = stretches[int(rng.integers(len(stretches)))]
        stop = min(start + length, len(media.read_sound(sound, DRAWN_AT_HZ)) / DRAWN_AT_HZ)
        starts = rng.uniform(start, max(start, stop - seconds), size=3)
        tried = [Window(sound, float(begin), stop, seconds) for begin in starts]
        chosen.append(max(tried, key=lambda window: media.rms_dbfs(window.waveform(DRAWN_AT_HZ))))
    return chosen
