"""Curves over many photographs: what loudness, mixing and speech do to an image (the paper's Figs. 6, 7 and 9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from training.data import media
from training.evaluation.inference import CheckpointModel
from training.evaluation.metrics.findings import Findings
from training.evaluation.metrics.pictures import distance_255
from training.reproduce.measure import EvaluationSetup, Figure
from training.reproduce.orderings import SCENE_NAMES
from training.reproduce.rows import RAINY

GAINS_DB = (-40.0, -30.0, -20.0, -10.0, 0.0, 10.0)
MIX_WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
SPEECH_OVER_SCENE_DB = (-20.0, -10.0, 0.0, 10.0, 20.0)
LEVEL_DBFS = -25.0  # of every part of a mixture


@dataclass(frozen=True)
class Curve:
    """figures[k] was measured at places[k]."""

    name: str
    places: Sequence[float]
    figures: Sequence[Figure]


@dataclass(frozen=True)
class Sweeps:
    volume: Sequence[Curve]  # change of the image in units of 1/255, by gain in dB
    mixing: Sequence[Curve]  # 0: the first sound's image, 1: the second's, by the second's weight
    speech: Sequence[Curve]  # change of the image in units of 1/255, by the level of speech over the scene in dB
    speech_scene: Sequence[Curve]  # share of images that the probe still takes for the scene
    photographs: int


def sweep(setup: EvaluationSetup, models: dict[str, Path], photographs: int, speech: Path | None) -> Sweeps:
    """Sweep every model by name (its checkpoint) on the setup's first photographs."""
    volume, mixing, spoken, named = [], [], [], []
    for name, path in models.items():
        model = CheckpointModel(path)
        heard = None if speech is None else _waveform_of(model, speech)
        found: dict[str, dict[float, Findings]] = {}

        def note(curve: str, place: float, value: float, source: str, found: dict = found) -> None:
            found.setdefault(curve, {}).setdefault(place, Findings()).note(curve, value, source)

        for number, case in enumerate(tqdm(setup.cases[:photographs], desc=f"{name}: sweeps", unit="photograph")):
            image = media.square(case.path, setup.size).unsqueeze(0)
            content = model.encode(image)
            waves = torch.stack([w.waveform(model.config.audio.sample_rate_hz) for w in case.windows])  # [S, N]
            for gain in GAINS_DB:
                for change in distance_255(model.decode(content, waves * 10 ** (gain / 20)), image):
                    note("volume", gain, change.item(), case.source)
            for weight, place in zip(MIX_WEIGHTS, _mixed(model, content, waves, number), strict=True):
                note("mixing", weight, place, case.source)
            if heard is not None:
                scene = rain_of(setup)
                mixed = [over(waves[scene], heard, level) for level in SPEECH_OVER_SCENE_DB]
                results = model.decode(content, torch.stack(mixed))
                with torch.no_grad():
                    right = setup.judges.probe(results).argmax(dim=1) == scene
                for level, change, seen in zip(SPEECH_OVER_SCENE_DB, distance_255(results, image), right, strict=True):
                    note("speech", level, change.item(), case.source)
                    note("speech_scene", level, float(seen), case.source)
        volume.append(_curve(name, "volume", found))
        mixing.append(_curve(name, "mixing", found))
        if heard is not None:
            spoken.append(_curve(name, "speech", found))
            named.append(_curve(name, "speech_scene", found))
    return Sweeps(volume, mixing, spoken, named, len(setup.cases[:photographs]))


def rain_of(setup: EvaluationSetup) -> int:
    """The number of the scene that speech is laid over: rain, or the first where there is none."""
    return next((k for k, scene in enumerate(setup.scenes) if scene in SCENE_NAMES[RAINY]), 0)


def over(scene: Tensor, speech: Tensor, level_db: float) -> Tensor:
    """The scene's sound [N] with speech [N] that many decibels above it; the scene stays at LEVEL_DBFS."""
    return media.at_level(scene, LEVEL_DBFS) + media.at_level(speech, LEVEL_DBFS + level_db)


def mixture(first: Tensor, second: Tensor, weight: float) -> Tensor:
    """A convex combination of two sounds [N], both at LEVEL_DBFS; `weight` is the second's."""
    return (1 - weight) * media.at_level(first, LEVEL_DBFS) + weight * media.at_level(second, LEVEL_DBFS)


def loudest(path: Path, rate: int, samples: int) -> Tensor:
    """The loudest window [samples] of a recording, looked for every second."""
    whole = media.read_sound(path, rate)
    starts = range(0, max(1, len(whole) - samples), rate)
    return max((media.window(whole, start, samples) for start in starts), key=media.rms_dbfs)


def _waveform_of(model: CheckpointModel, path: Path) -> Tensor:
    return loudest(path, model.config.audio.sample_rate_hz, model.config.audio.clip_samples)


def _mixed(model: CheckpointModel, content: Tensor, waves: Tensor, number: int) -> list[float]:
    """Where each mixture's image lies on the way from the first sound's image to the second's."""
    first, second = waves[number % len(waves)], waves[(number + 1) % len(waves)]
    results = model.decode(content, torch.stack([mixture(first, second, weight) for weight in MIX_WEIGHTS]))
    left, right = distance_255(results, results[:1]), distance_255(results, results[-1:])
    whole = (left + right).clamp(min=1e-6)
    return (left / whole).tolist()


def _curve(name: str, measured: str, found: dict[str, dict[float, Findings]]) -> Curve:
    places = sorted(found[measured])
    estimates = [found[measured][place] for place in places]
    figures = []
    for findings in estimates:
        estimate = findings.estimates({})[measured]
        figures.append(Figure(estimate.mean, estimate.low, estimate.high, findings.sources()[measured]))
    return Curve(name, places, figures)
