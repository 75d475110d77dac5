"""The evaluation on held-out photographs and recordings: a table with controls and intervals, and sheets."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from training import checkpoint, media
from training.average import Average
from training.config import TrainingConfig
from training.index import Pair, read_index
from training.metrics.pictures import distance_255, gradient_correlation, tint_255
from training.metrics.probe import SceneProbe, probe_accuracy, train_probe
from training.metrics.statistics import Estimate, bootstrap, rises_with
from training.step import Networks

GAINS_DB = (-30.0, -20.0, -10.0, 0.0)
MIX_WEIGHTS = (1.0, 0.75, 0.5, 0.25, 0.0)


class Stylizer:
    """The averaged networks of a checkpoint; a picture is encoded once for any number of sounds."""

    def __init__(self, path: Path) -> None:
        values = checkpoint.load(path)
        self.config: TrainingConfig = checkpoint.config_of(values)
        self.images_seen = int(values["images_seen"])
        networks = Networks(self.config)
        checkpoint.restore(networks, values["networks"], path)
        self.average = Average(networks, self.config.ema_images)
        if values["ema"]:
            self.average.load_state_dict(values["ema"])

    @torch.no_grad()
    def encode(self, image: Tensor) -> Tensor:
        """[1, 3, H, W] in [-1, 1] -> content [1, C, H/4, W/4]."""
        return self.average.generator.encoder(image)

    @torch.no_grad()
    def decode(self, content: Tensor, waveforms: Tensor) -> Tensor:
        """One content for all waveforms [B, N] -> [B, 3, H, W] in [-1, 1]."""
        embedding = self.average.audio_encoder(waveforms)
        content = content.expand(len(embedding), -1, -1, -1)
        return self.average.generator.decoder(content, embedding).float().clamp(-1, 1)


def evaluate(
    checkpoints: Sequence[Path], index: Path, output: Path, pictures: int = 64, size: int = 256, seed: int = 0
) -> dict[str, dict[str, str]]:
    """Measure every checkpoint, and the control rows, on the test split; write `table.md`, `figures.json` and sheets.

    Each photograph meets one held-out window of every scene's sound, so that all rows see the same pairs.
    """
    output.mkdir(parents=True, exist_ok=True)
    train_pairs, test_pairs = read_index(index, "train"), read_index(index, "test")
    scenes = sorted({p.scene for p in test_pairs if p.sound is not None})
    probe = _cached_probe(train_pairs, scenes, index)
    accuracy = probe_accuracy(probe, test_pairs, scenes)
    images = sorted({p.image for p in test_pairs})
    rng = np.random.default_rng(seed)
    chosen = [images[i] for i in rng.permutation(len(images))[:pictures]]
    figures: dict[str, dict[str, Estimate]] = {}
    for path in checkpoints:
        model = Stylizer(path)
        sounds = {scene: _windows(test_pairs, scene, model.config, len(chosen), seed) for scene in scenes}
        name = f"{model.config.preset}, {model.images_seen} pictures ({path.parent.name})"
        figures[name] = _measure(model, probe, chosen, sounds, size, name)
        sheet = _sheet(model, chosen[:8], sounds, size)
        sheet.save(output / f"{path.parent.name}.png")
    named = _named_as(probe, chosen, scenes, size)
    figures["copy of the input"] = {"right scene": bootstrap(named, [p.stem for p in chosen])}
    table = _table(figures)
    note = (
        f"{len(chosen)} held-out photographs at {size} px, each with a held-out window of the sounds of "
        f"{', '.join(scenes)}. The probe names {accuracy:.1%} of real held-out photographs rightly "
        f"(chance {1 / len(scenes):.0%}). Mean and 95 % bootstrap interval over photographs.\n"
    )
    (output / "table.md").write_text(table + "\n" + note)
    raw = {row: {key: vars(value) for key, value in columns.items()} for row, columns in figures.items()}
    (output / "figures.json").write_text(json.dumps({"probe_accuracy": accuracy, "rows": raw}, indent=1))
    print(table + "\n" + note)
    return {row: {key: str(value) for key, value in columns.items()} for row, columns in figures.items()}


def _measure(
    model: Stylizer, probe: SceneProbe, chosen: Sequence[Path], sounds: dict[str, Tensor], size: int, name: str
) -> dict[str, Estimate]:
    scenes = list(sounds)
    found: dict[str, list[float]] = defaultdict(list)
    owner: dict[str, list[str]] = defaultdict(list)
    shuffle = np.random.default_rng(1)

    def note(key: str, value: float, path: Path) -> None:
        found[key].append(float(value))
        owner[key].append(path.stem)

    for number, path in enumerate(tqdm(chosen, desc=name, unit="photograph")):
        image = media.square(path, size).unsqueeze(0)
        waves = torch.stack([sounds[scene][number] for scene in scenes])  # [S, N]
        several = image.expand(len(scenes), -1, -1, -1)
        content = model.encode(image)
        full = model.decode(content, waves)
        labels = probe(full).argmax(dim=1)
        swapped = distance_255(full, full.roll(1, dims=0))
        given = shuffle.permutation(len(scenes))
        for place, scene in enumerate(scenes):
            note("right scene", labels[place] == place, path)
            note(f"right scene: {scene}", labels[place] == place, path)
            note("right scene, shuffled sound", labels[place] == int(given[place]), path)
            note("swap effect /255", swapped[place].item(), path)
        for key, values in (
            ("gradient correlation", gradient_correlation(full, several)),
            ("change /255", distance_255(full, several)),
            ("tint /255", tint_255(full, several)),
        ):
            for value in values:
                note(key, value.item(), path)
        sweep = torch.stack(
            [distance_255(model.decode(content, waves * 10 ** (gain / 20)), several) for gain in GAINS_DB]
        )  # [gains, S]
        for column in sweep.T:
            note("gain-monotone", rises_with(GAINS_DB, column.tolist()), path)
        silent = model.decode(content, torch.zeros(1, waves.shape[1]))
        note("silence /255", distance_255(silent, image).item(), path)
        place = number % len(scenes)
        note("mix-monotone", _mix_is_monotone(model, content, waves[place], waves[place - 1]), path)
    return {key: bootstrap(values, owner[key]) for key, values in found.items()}


def _mix_is_monotone(model: Stylizer, content: Tensor, first: Tensor, second: Tensor) -> bool:
    """With every step of the weight, at one loudness of both, the result leaves the first's and nears the second's."""
    first, second = media.at_level(first, -25.0), media.at_level(second, -25.0)
    waves = torch.stack([weight * first + (1 - weight) * second for weight in MIX_WEIGHTS])
    mixed = model.decode(content, waves)
    left = distance_255(mixed, mixed[:1])
    right = distance_255(mixed, mixed[-1:])
    return bool((left.diff() > 0).all() and (right.diff() < 0).all())


def _named_as(probe: SceneProbe, chosen: Sequence[Path], scenes: Sequence[str], size: int) -> list[float]:
    """The share of scenes that the untouched photograph already shows: one of them, so 1 / scenes."""
    with torch.no_grad():
        labels = [int(probe(media.square(path, size).unsqueeze(0)).argmax()) for path in chosen]
    return [float(np.mean([label == place for place in range(len(scenes))])) for label in labels]


def _windows(pairs: Sequence[Pair], scene: str, config: TrainingConfig, count: int, seed: int) -> Tensor:
    """`count` windows [count, N] of the scene's held-out sounds, the level as recorded; of three drawn the loudest."""
    rng = np.random.default_rng((seed, len(scene)))
    stretches = sorted({(p.sound, p.start, p.seconds) for p in pairs if p.scene == scene and p.sound is not None})
    rate, samples = config.audio.sample_rate_hz, config.audio.clip_samples
    windows = []
    for _ in range(count):
        sound, start, seconds = stretches[int(rng.integers(len(stretches)))]
        waveform = media.read_sound(sound, rate)[: round((start + seconds) * rate)]
        first, latest = round(start * rate), max(round(start * rate), len(waveform) - samples)
        tried = [media.window(waveform, int(rng.integers(first, latest + 1)), samples) for _ in range(3)]
        windows.append(max(tried, key=media.rms_dbfs))
    return torch.stack(windows)


def _cached_probe(pairs: Sequence[Pair], scenes: Sequence[str], index: Path) -> SceneProbe:
    """The probe lies beside the index, since it depends on nothing else."""
    path = index.with_suffix(".probe.pt")
    if path.exists() and path.stat().st_mtime > index.stat().st_mtime:
        probe = SceneProbe(len(scenes))
        probe.load_state_dict(checkpoint.load(path)["networks"])
        return probe.eval()
    probe = train_probe(pairs, scenes)
    checkpoint.save(path, {"networks": probe.state_dict()})
    return probe


def _sheet(model: Stylizer, chosen: Sequence[Path], sounds: dict[str, Tensor], size: int) -> Image.Image:
    """A row a photograph: as it is, every sound as recorded, the last one 15 dB softer."""
    rows = []
    for number, path in enumerate(chosen):
        image = media.square(path, size).unsqueeze(0)
        waves = [sounds[scene][number] for scene in sounds]
        waves.append(waves[-1] * 10 ** (-15 / 20))
        results = model.decode(model.encode(image), torch.stack(waves))
        rows.append(torch.cat([image[0], *results], dim=2))
    return Image.fromarray(media.to_pixels(torch.cat(rows, dim=1)))


def _table(figures: dict[str, dict[str, Estimate]]) -> str:
    columns = list(dict.fromkeys(key for row in figures.values() for key in row))
    lines = ["| measure | " + " | ".join(figures) + " |", "|---" * (len(figures) + 1) + "|"]
    for key in columns:
        cells = [str(row[key]) if key in row else "" for row in figures.values()]
        lines.append(f"| {key} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
