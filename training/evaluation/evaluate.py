"""The evaluation on held-out photographs and recordings: a table with controls and intervals, and sheets."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from training import checkpoint
from training.data import media
from training.data.conditions import ConditioningExample, ConditioningExamples
from training.data.index import Pair, read_index
from training.evaluation.inference import CheckpointModel
from training.evaluation.metrics.behaviour import note_behaviour, note_kept
from training.evaluation.metrics.controls import colour_transfer
from training.evaluation.metrics.findings import Findings, table
from training.evaluation.metrics.judges import SHUFFLED, Judges, JudgeWeights
from training.evaluation.metrics.probe import SceneProbe, probe_accuracy, train_probe
from training.evaluation.metrics.statistics import Estimate
from training.evaluation.metrics.windows import Window, draw_windows

SHEET_ROWS = 8


@dataclass(frozen=True)
class Case:
    """A held-out photograph and the sounds that it meets, one of each scene."""

    path: Path
    source: str  # of the index: the video, or the group of near-duplicates
    windows: Sequence[Window]
    examples: Sequence[ConditioningExample]  # what occurs with each sound


def evaluate(
    checkpoints: Sequence[Path],
    index: Path,
    output: Path,
    pictures: int = 64,
    size: int = 256,
    seed: int = 0,
    weights: JudgeWeights | None = None,
) -> dict[str, dict[str, str]]:
    """Measure every checkpoint, and the controls, on the test split; write `table.md`, `figures.json` and sheets.

    Each photograph meets one held-out window of every scene's sound, so that all methods see the same pairs.
    """
    output.mkdir(parents=True, exist_ok=True)
    weights = weights or JudgeWeights()
    train_pairs, test_pairs = read_index(index, "train"), read_index(index, "test")
    scenes = sorted({p.scene for p in test_pairs if p.sound is not None})
    own = weights.correspondence or checkpoints[0]
    clip_seconds = checkpoint.config_of(checkpoint.load(checkpoints[0])).audio.clip_seconds
    cases = draw_cases(train_pairs, test_pairs, scenes, clip_seconds, pictures, seed)
    probe = cached_probe(train_pairs, scenes, index)
    accuracy = probe_accuracy(probe, test_pairs, scenes)
    judges = Judges(probe, scenes, train_pairs, size, weights, own)
    figures: dict[str, dict[str, Estimate]] = {}
    for path in checkpoints:
        model = CheckpointModel(path)
        name = f"{model.config.preset}, {model.images_seen} images ({path.parent.name})"
        findings, swapped, sheet = measure(model, judges, cases, size, name)
        figures[name] = findings.estimates(judges.references)
        if len(scenes) > 1:
            figures[name + SHUFFLED] = swapped.estimates(judges.references)
        sheet.save(output / f"{path.parent.name}.png")
    by_scene = [sorted({p.image for p in train_pairs if p.scene == scene}) for scene in scenes]
    for name, method in (("copy of the input", copy_input), ("colour transfer", transfer_from(by_scene, size, seed))):
        findings = measure_control(method, judges, cases, size, name)
        figures[name] = findings.estimates(judges.references)
    note = (
        f"{len(cases)} held-out photographs at {size} px, each with a held-out window of the sounds of "
        f"{', '.join(scenes)}. The probe names {accuracy:.1%} of real held-out photographs rightly "
        f"(chance {1 / len(scenes):.0%}). Mean and 95 % bootstrap interval over the photographs' "
        f"{len({case.source for case in cases})} sources (videos). "
        f"Fréchet distances are to {judges.reference_count} training photographs that occur with the sounds.\n"
    )
    lines = [f"- {line}\n" for line in [*judges.notes, *judges.sample_notes(len(cases) * len(scenes))]]
    text = table(figures) + "\n\n" + note + ("\n" + "".join(lines) if lines else "")
    (output / "table.md").write_text(text)
    raw = {row: {key: vars(value) for key, value in columns.items()} for row, columns in figures.items()}
    (output / "figures.json").write_text(json.dumps({"probe_accuracy": accuracy, "rows": raw}, indent=1))
    print(text)
    return {row: {key: str(value) for key, value in columns.items()} for row, columns in figures.items()}


def draw_cases(
    train_pairs: Sequence[Pair],
    pairs: Sequence[Pair],
    scenes: Sequence[str],
    clip_seconds: float,
    count: int,
    seed: int,
) -> list[Case]:
    """pairs: the held-out ones. The training ones show a scene's look where no other held-out picture does."""
    sources = {p.image: p.source for p in pairs}
    examples, rng = ConditioningExamples(pairs, train_pairs), np.random.default_rng((seed, 1))
    images = sorted(sources)
    chosen = [images[i] for i in np.random.default_rng(seed).permutation(len(images))[:count]]
    windows = [draw_windows(pairs, scene, clip_seconds, len(chosen), seed) for scene in scenes]
    cases = []
    for path, *heard in zip(chosen, *windows, strict=True):
        drawn = [examples.draw(window.sound, scene, path, rng) for window, scene in zip(heard, scenes, strict=True)]
        cases.append(Case(path, sources[path], heard, drawn))
    return cases


def measure(
    model: CheckpointModel, judges: Judges, cases: Sequence[Case], size: int, name: str
) -> tuple[Findings, Findings, Image.Image]:
    """What the model does, the same pictures judged against another scene's sound, and the sheet of the first cases.

    The sheet has a row a photograph: as it is, every sound as recorded, the last one 15 dB softer.
    """
    findings, swapped = Findings(), Findings()
    scenes, rate = len(judges.scenes), model.config.audio.sample_rate_hz
    rows: list[Tensor] = []
    for number, case in enumerate(tqdm(cases, desc=name, unit="photograph")):
        image = media.square(case.path, size).unsqueeze(0)
        waves = torch.stack([window.waveform(rate) for window in case.windows])  # [S, N]
        content = model.encode(image)
        results = model.decode(content, waves, case.examples)
        look = judges.look(results, case.windows)
        judges.note(findings, look, case.source)
        judges.note(swapped, look, case.source, shift=1)
        note_kept(findings, image, results, case.source)
        mixed = (number % scenes, number % scenes - 1)
        note_behaviour(findings, model, image, content, waves, case.examples, results, mixed, case.source)
        if number < SHEET_ROWS:
            softer = model.decode(content, waves[-1:] * 10 ** (-15 / 20), case.examples[-1:])
            rows.append(torch.cat([image[0], *results, softer[0]], dim=2))
    return findings, swapped, Image.fromarray(media.to_pixels(torch.cat(rows, dim=1)))


Method = Callable[[Tensor, int], Tensor]  # a photograph [1, 3, H, W] and its number -> pictures [S or 1, 3, H, W]


def measure_control(method: Method, judges: Judges, cases: Sequence[Case], size: int, name: str) -> Findings:
    findings = Findings()
    for number, case in enumerate(tqdm(cases, desc=name, unit="photograph")):
        image = media.square(case.path, size).unsqueeze(0)
        results = method(image, number)
        judges.note(findings, judges.look(results, case.windows), case.source)
        note_kept(findings, image, results.expand(len(judges.scenes), -1, -1, -1), case.source)
    return findings


def copy_input(image: Tensor, number: int) -> Tensor:
    return image


def transfer_from(by_scene: Sequence[Sequence[Path]], size: int, seed: int) -> Method:
    """The colours of a training photograph that occurs with the sound, drawn anew for every picture."""

    def method(image: Tensor, number: int) -> Tensor:
        rng = np.random.default_rng((seed, number))
        targets = [images[int(rng.integers(len(images)))] for images in by_scene]
        return torch.stack([colour_transfer(image[0], media.square(target, size)) for target in targets])

    return method


def cached_probe(pairs: Sequence[Pair], scenes: Sequence[str], index: Path) -> SceneProbe:
    """The probe lies beside the index, since it depends on nothing else."""
    path = index.with_suffix(".probe.pt")
    if path.exists() and path.stat().st_mtime > index.stat().st_mtime:
        probe = SceneProbe(len(scenes))
        probe.load_state_dict(checkpoint.load(path)["networks"])
        return probe.eval()
    probe = train_probe(pairs, scenes)
    checkpoint.save(path, {"networks": probe.state_dict()})
    return probe
