"""Sample sheets: held-out photographs restyled by held-out sounds, to be looked at while a run goes on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from training.config import TrainingConfig
from training.data import media
from training.data.conditions import ConditioningExamples, ConditionProvider
from training.data.index import Pair, PairingError, read_index
from training.models.average import Average

LEVEL_DBFS = -22.0


def has_held_out(index: Path) -> bool:
    """Whether there is anything to show."""
    try:
        return any(pair.sound is not None for pair in read_index(index, "test"))
    except PairingError:
        return False


@torch.no_grad()
def sample_sheet(
    average: Average,
    index: Path,
    config: TrainingConfig,
    device: torch.device,
    conditions: ConditionProvider | None = None,
    count: int = 8,
    size: int = 256,
) -> NDArray[np.uint8]:
    """[H, W, 3]: a row a photograph; columns: as it is, each scene's sound at full, the first scene's 15 dB softer."""
    size = min(size, max(crop for _, crop in config.data.crops) * 2)
    pairs = read_index(index, "test")
    sounds = one_sound_a_scene(pairs, config)
    sounds.append((sounds[0][0], sounds[0][1] * 10 ** (-15 / 20)))
    examples = ConditioningExamples(pairs, read_index(index, "train"))
    images = sorted({p.image for p in pairs})
    chosen = [images[i] for i in np.random.default_rng(1).permutation(len(images))[:count]]
    rows = []
    for path in chosen:
        image = media.square(path, size).to(device).unsqueeze(0)
        row = [image]
        for pair, waveform in sounds:
            heard = waveform.to(device).unsqueeze(0)
            example = examples.draw(pair.sound, pair.scene, path, np.random.default_rng(1))
            condition = None if conditions is None else conditions.of_sounds(heard, [example])
            row.append(average.stylize(image, heard, condition))
        rows.append(torch.cat(row, dim=3)[0])
    return media.to_pixels(torch.cat(rows, dim=1))


def one_sound_a_scene(pairs: list[Pair], config: TrainingConfig) -> list[tuple[Pair, torch.Tensor]]:
    """The first pair with a sound of each scene, and the loudest window [N] of that sound, at LEVEL_DBFS."""
    found: dict[str, tuple[Pair, torch.Tensor]] = {}
    for pair in pairs:
        if pair.sound is None or pair.scene in found:
            continue
        rate, samples = config.audio.sample_rate_hz, config.audio.clip_samples
        waveform = media.read_sound(pair.sound, rate)
        start, stop = round(pair.start * rate), round((pair.start + pair.seconds) * rate)
        starts = range(start, max(start + 1, stop - samples), rate)
        windows = [media.window(waveform[:stop], s, samples) for s in starts]
        found[pair.scene] = pair, media.at_level(max(windows, key=media.rms_dbfs), LEVEL_DBFS)
    return list(found.values())
