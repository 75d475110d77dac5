"""The images of the report: rows and columns of stylizations (the paper's Figs. 5 to 10 and 14)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from training.data import media
from training.data.conditions import ConditioningExample
from training.data.index import photo_statistics
from training.evaluation.evaluate import Case
from training.evaluation.inference import CheckpointModel
from training.reproduce.measure import EvaluationSetup
from training.reproduce.sweeps import loudest, mixture, over, rain_of

Pixels = NDArray[np.uint8]
VOLUMES_DB = (-30.0, -20.0, -10.0, 0.0, 10.0)
LOUDER_DB = (0.0, 8.0, 16.0, 24.0)
QUIET_DBFS = -42.0  # where the soundtracks begin
MIX_WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
SPEECH_DB = (-10.0, 0.0, 10.0)
PHOTOGRAPHS = 2  # of each scene or sound
MOST_UNSEEN = 6  # photographs, and sounds
PHOTO_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
SOUND_SUFFIXES = {".ogg", ".wav", ".mp3", ".flac", ".m4a", ".opus"}


@dataclass(frozen=True)
class Panel:
    """Images in a grid: `columns` over them; each row has its label and as many images as there are columns."""

    name: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Pixels]]]


def comparison(setup: EvaluationSetup, models: dict[str, CheckpointModel]) -> Panel:
    """Every method on the same photograph and sound (Fig. 5)."""
    rows = []
    for place, scene in enumerate(setup.scenes):
        case = setup.cases[place]
        images = [_source(case, setup)]
        for model in models.values():
            images += _results(model, case.path, [_sound(model, case, place)], setup.size, [case.examples[place]])
        rows.append((scene, images))
    return Panel("comparison", ["input", *models], rows)


def volume(setup: EvaluationSetup, models: dict[str, CheckpointModel]) -> Panel:
    """The same sound softer and louder (Fig. 6)."""
    rows = []
    for name, model in models.items():
        for place, scene in enumerate(setup.scenes):
            case = setup.cases[place + len(setup.scenes)] if _has(setup, 2) else setup.cases[place]
            wave = _sound(model, case, place)
            waves = [wave * 10 ** (gain / 20) for gain in VOLUMES_DB]
            rows.append((f"{name}: {scene}", [_source(case, setup), *_results(model, case.path, waves, setup.size)]))
    return Panel("volume", ["input", *(f"{gain:+g} dB" for gain in VOLUMES_DB)], rows)


def mixing(setup: EvaluationSetup, models: dict[str, CheckpointModel]) -> Panel:
    """From one sound to another by convex combination (Fig. 7)."""
    rows = []
    scenes = len(setup.scenes)
    for name, model in models.items():
        for place in range(scenes if scenes > 2 else 1):
            other = (place + 1) % scenes
            case = setup.cases[place + 2 * scenes] if _has(setup, 3) else setup.cases[place]
            first, second = _sound(model, case, place), _sound(model, case, other)
            waves = [mixture(first, second, weight) for weight in MIX_WEIGHTS]
            label = f"{name}: {setup.scenes[place]} to {setup.scenes[other]}"
            rows.append((label, [_source(case, setup), *_results(model, case.path, waves, setup.size)]))
    return Panel("mixing", ["input", *(f"{1 - w:.0%} / {w:.0%}" for w in MIX_WEIGHTS)], rows)


def unseen(setup: EvaluationSetup, model: CheckpointModel, folder: Path) -> Panel | None:
    """Photographs and sounds from elsewhere (Figs. 8 and 14); None if the folder has none of either."""
    files = sorted(folder.iterdir())
    photographs = [file for file in files if file.suffix.lower() in PHOTO_SUFFIXES][:MOST_UNSEEN]
    sounds = [file for file in files if file.suffix.lower() in SOUND_SUFFIXES][:MOST_UNSEEN]
    if not photographs or not sounds:
        return None
    waves = [loudest(sound, model.config.audio.sample_rate_hz, model.config.audio.clip_samples) for sound in sounds]
    rows = [
        (
            photograph.stem,
            [
                media.to_pixels(media.square(photograph, setup.size)),
                *_results(model, photograph, waves, setup.size),
            ],
        )
        for photograph in photographs
    ]
    return Panel("unseen", ["input", *(sound.stem for sound in sounds)], rows)


def soundtrack(setup: EvaluationSetup, model: CheckpointModel) -> Panel:
    """A held-out image under the sound that it occurs with, louder and louder (Fig. 10)."""
    rows = []
    for scene in setup.scenes:
        pairs = [p for p in setup.test_pairs if p.scene == scene and p.sound is not None]
        images = sorted({p.image for p in pairs})
        rng = np.random.default_rng(setup.seed)
        for path in [images[i] for i in rng.permutation(len(images))[:PHOTOGRAPHS]]:
            pair = next(p for p in pairs if p.image == path)
            assert pair.sound is not None, "only pairs with a sound were kept"
            rate, samples = model.config.audio.sample_rate_hz, model.config.audio.clip_samples
            whole = media.read_sound(pair.sound, rate)[: round((pair.start + pair.seconds) * rate)]
            quiet = media.at_level(media.window(whole, round(pair.start * rate), samples), QUIET_DBFS)
            waves = [quiet * 10 ** (gain / 20) for gain in LOUDER_DB]
            source = media.to_pixels(media.square(path, setup.size))
            rows.append((scene, [source, *_results(model, path, waves, setup.size)]))
    columns = [f"{QUIET_DBFS + gain:g} dBFS" for gain in LOUDER_DB]
    return Panel("soundtrack", ["frame", *columns], rows)


def speech_over(setup: EvaluationSetup, model: CheckpointModel, speech: Path) -> Panel:
    """Speech over rain at several levels (Fig. 9, left)."""
    place = rain_of(setup)
    heard = loudest(speech, model.config.audio.sample_rate_hz, model.config.audio.clip_samples)
    rows = []
    for number, case in enumerate(setup.cases[:PHOTOGRAPHS], 1):
        wave = _sound(model, case, place)
        waves = [over(wave, torch.zeros_like(wave), 0.0), *(over(wave, heard, level) for level in SPEECH_DB)]
        waves.append(over(torch.zeros_like(wave), heard, 0.0))
        rows.append((f"photograph {number}", [_source(case, setup), *_results(model, case.path, waves, setup.size)]))
    columns = [f"speech {level:+g} dB" for level in SPEECH_DB]
    return Panel("speech", ["input", f"{setup.scenes[place]} alone", *columns, "speech alone"], rows)


def small_regions(setup: EvaluationSetup, model: CheckpointModel) -> Panel:
    """Photographs of which little can be restyled: most of them is of the sky's colour (Fig. 9, right)."""
    sky = {case.path: photo_statistics(media.read_image(case.path))["blue"] for case in setup.cases}
    skies = sorted(setup.cases, key=lambda case: -sky[case.path])[:PHOTOGRAPHS]
    rows = []
    for case in skies:
        waves = [_sound(model, case, place) for place in range(len(setup.scenes))]
        label = f"{sky[case.path]:.0%} sky-blue"
        rows.append((label, [_source(case, setup), *_results(model, case.path, waves, setup.size)]))
    return Panel("regions", ["input", *setup.scenes], rows)


def shrunk(pixels: Pixels, side: int) -> Image.Image:
    """At most `side` pixels wide and high."""
    image = Image.fromarray(pixels)
    return image if image.width <= side else image.resize((side, side), Image.Resampling.LANCZOS)


def _has(setup: EvaluationSetup, rounds: int) -> bool:
    """Whether there are photographs enough for that many figures with one of their own for each scene."""
    return len(setup.cases) >= rounds * len(setup.scenes)


def _sound(model: CheckpointModel, case: Case, place: int) -> Tensor:
    return case.windows[place].waveform(model.config.audio.sample_rate_hz)


def _source(case: Case, setup: EvaluationSetup) -> Pixels:
    return media.to_pixels(media.square(case.path, setup.size))


def _results(
    model: CheckpointModel,
    path: Path,
    waves: Sequence[Tensor],
    size: int,
    examples: Sequence[ConditioningExample] | None = None,
) -> list[Pixels]:
    content = model.encode(media.square(path, size).unsqueeze(0))
    return [media.to_pixels(result) for result in model.decode(content, torch.stack(list(waves)), examples)]
