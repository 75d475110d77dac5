"""Measure every row, and what it is held against, on the same held-out photographs and sounds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from training import checkpoint
from training.data import media
from training.data.index import Pair, read_index
from training.evaluation.evaluate import (
    Case,
    cached_probe,
    copy_input,
    draw_cases,
    measure,
    measure_control,
    transfer_from,
)
from training.evaluation.inference import CheckpointModel
from training.evaluation.metrics.findings import Findings
from training.evaluation.metrics.judges import Judges, JudgeWeights
from training.evaluation.metrics.probe import probe_accuracy
from training.evaluation.metrics.windows import draw_windows
from training.reproduce.run import Job, write_json
from training.reproduce.scale import Scale

TARGET_NAME, COPY_NAME, TRANSFER_NAME = "Target", "Copy of the input", "Colour transfer"


@dataclass(frozen=True)
class Figure:
    """A mean over sources (videos, photographs) and its 95 % interval, which a single source does not have."""

    mean: float
    low: float
    high: float
    sources: int

    @property
    def has_interval(self) -> bool:
        return self.sources > 1

    def __str__(self) -> str:
        if not self.has_interval:
            return short(self.mean)
        return f"{short(self.mean)} [{short(self.low)}, {short(self.high)}]"


def short(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


Figures = dict[str, Figure]  # by measure


@dataclass(frozen=True)
class EvaluationSetup:
    """What every row is measured on, and by whom."""

    index: Path
    train_pairs: Sequence[Pair]
    test_pairs: Sequence[Pair]
    scenes: Sequence[str]
    cases: Sequence[Case]
    judges: Judges
    size: int
    seed: int
    probe_accuracy: float
    settings: dict[str, Any]

    @property
    def sources(self) -> int:
        return len({case.source for case in self.cases})


def set_up(index: Path, scale: Scale, judge: Path, seed: int, weights: JudgeWeights) -> EvaluationSetup:
    """Draw the photographs and sounds, train the scene probe (or read it), and load the judges."""
    train_pairs, test_pairs = read_index(index, "train"), read_index(index, "test")
    scenes = sorted({p.scene for p in test_pairs if p.sound is not None})
    clip_seconds = checkpoint.config_of(checkpoint.load(judge)).audio.clip_seconds
    probe = cached_probe(train_pairs, scenes, index)
    files = {name: _sha256(path) for name, path in vars(weights).items() if path is not None}
    settings = {
        "index": _sha256(index),
        "judge": _sha256(judge),
        "weights": files,
        "size": scale.size,
        "evaluated_images": scale.evaluated_images,
        "seed": seed,
    }
    return EvaluationSetup(
        index,
        train_pairs,
        test_pairs,
        scenes,
        draw_cases(train_pairs, test_pairs, scenes, clip_seconds, scale.evaluated_images, seed),
        Judges(probe, scenes, train_pairs, scale.size, weights, judge),
        scale.size,
        seed,
        probe_accuracy(probe, test_pairs, scenes),
        settings,
    )


def measure_all(setup: EvaluationSetup, jobs: Sequence[Job], output: Path) -> dict[str, Figures]:
    """The figures of the real images, the controls and every trained row, by name; those that are there are read."""
    by_scene = [sorted({p.image for p in setup.train_pairs if p.scene == scene}) for scene in setup.scenes]
    transfer = transfer_from(by_scene, setup.size, setup.seed)
    cases, judges, size = setup.cases, setup.judges, setup.size
    makers: dict[str, tuple[Path, str, Callable[[], Findings]]] = {
        TARGET_NAME: (output / "controls" / "target.json", "", lambda: measure_target(setup)),
        COPY_NAME: (
            output / "controls" / "copy.json",
            "",
            lambda: measure_control(copy_input, judges, cases, size, COPY_NAME),
        ),
        TRANSFER_NAME: (
            output / "controls" / "transfer.json",
            "",
            lambda: measure_control(transfer, judges, cases, size, TRANSFER_NAME),
        ),
    }
    for job in jobs:

        def measure_row(job: Job = job) -> Findings:
            return measure(CheckpointModel(job.checkpoint), judges, cases, size, job.name)[0]

        makers[job.name] = (job.folder / "evaluation.json", _sha256(job.checkpoint), measure_row)
    return {
        name: _read_or_make(path, {**setup.settings, "checkpoint": made_from}, setup, make)
        for name, (path, made_from, make) in makers.items()
    }


def measure_target(setup: EvaluationSetup) -> Findings:
    """The held-out photographs that occur with the sounds themselves, as many of every scene (the paper's `Target`)."""
    findings = Findings()
    by_scene: list[dict[Path, str]] = [
        {p.image: p.source for p in setup.test_pairs if p.scene == scene} for scene in setup.scenes
    ]
    count = min(setup.judges.reference_count, *map(len, by_scene))
    rng = np.random.default_rng(setup.seed)
    seconds = setup.cases[0].windows[0].seconds
    windows = [draw_windows(setup.test_pairs, scene, seconds, count, setup.seed) for scene in setup.scenes]
    for place, photographs in enumerate(by_scene):
        paths = sorted(photographs)
        chosen = [paths[i] for i in rng.permutation(len(paths))[:count]]
        for path, *heard in tqdm(list(zip(chosen, *windows, strict=True)), desc=TARGET_NAME, unit="photograph"):
            look = setup.judges.look(media.square(path, setup.size).unsqueeze(0), heard)
            setup.judges.note(findings, look, photographs[path], places=[place])
    return findings


def _read_or_make(
    path: Path, settings: dict[str, Any], setup: EvaluationSetup, make: Callable[[], Findings]
) -> Figures:
    if path.exists():
        stored = json.loads(path.read_text())
        if stored["settings"] == settings:
            return {key: Figure(**values) for key, values in stored["figures"].items()}
    findings = make()
    counts = findings.sources()
    figures = {
        key: Figure(found.mean, found.low, found.high, counts[key])
        for key, found in findings.estimates(setup.judges.references).items()
    }
    write_json(path, {"settings": settings, "figures": {key: vars(figure) for key, figure in figures.items()}})
    return figures


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
