"""What the study's raters judge: held-out photographs and sounds, and each method's result for every pair of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from training.data import media
from training.data.conditions import ConditioningExample, ConditioningExamples
from training.data.index import Pair, read_index
from training.evaluation.inference import CheckpointModel

SAMPLE_RATE_HZ = 16_000
CLIP_SECONDS = 3.0


class StudyError(ValueError):
    """A study or a ranking that cannot be used; the message says what to do."""


@dataclass(frozen=True)
class Sample:
    """A photograph and the stretch of a sound that drives it. waveform: [N] at SAMPLE_RATE_HZ."""

    name: str
    image: Path
    sound: Path
    start_seconds: float
    scene: str
    waveform: Tensor
    example: ConditioningExample  # what occurs with the sound


def draw_samples(index: Path, count: int, seed: int) -> list[Sample]:
    """`count` held-out photographs, none twice, each with a window of a held-out sound: of three drawn the loudest.

    Scenes take turns. Raises StudyError if the index has too few photographs.
    """
    pairs = read_index(index, "test")
    images = sorted({pair.image for pair in pairs})
    if len(images) < count:
        raise StudyError(f"{index} has {len(images)} held-out photographs; ask for no more with --samples")
    by_scene: dict[str, list[Pair]] = {}
    for pair in pairs:
        if pair.sound is not None:
            by_scene.setdefault(pair.scene, []).append(pair)
    if not by_scene:
        raise StudyError(f"{index} has no held-out sound")
    scenes = sorted(by_scene)
    rng, cue_rng = np.random.default_rng(seed), np.random.default_rng((seed, 1))
    examples = ConditioningExamples(pairs)
    samples = []
    for number, place in enumerate(rng.permutation(len(images))[:count]):
        scene = scenes[number % len(scenes)]
        pair = by_scene[scene][int(rng.integers(len(by_scene[scene])))]
        assert pair.sound is not None, "only pairs with a sound were kept"
        start, waveform = _loudest_of_three(pair.sound, pair.start, pair.seconds, rng)
        example = examples.draw(pair.sound, scene, images[place], cue_rng)
        samples.append(Sample(f"{number:04d}", images[place], pair.sound, start, scene, waveform, example))
    return samples


def _loudest_of_three(sound: Path, start: float, seconds: float, rng: np.random.Generator) -> tuple[float, Tensor]:
    whole = media.read_sound(sound, SAMPLE_RATE_HZ)
    length = round(CLIP_SECONDS * SAMPLE_RATE_HZ)
    first = round(start * SAMPLE_RATE_HZ)
    stop = min(len(whole), round((start + seconds) * SAMPLE_RATE_HZ))
    starts = rng.integers(first, max(first, stop - length) + 1, size=3)
    windows = [(int(begin), media.window(whole[:stop], int(begin), length)) for begin in starts]
    begin, waveform = max(windows, key=lambda each: media.rms_dbfs(each[1]))
    return begin / SAMPLE_RATE_HZ, waveform


def write_sample_list(samples: list[Sample], path: Path) -> None:
    """JSON lines, so that another program can make a method's images, named NAME.png."""
    with path.open("w") as file:
        for sample in samples:
            line = {
                "name": sample.name,
                "image": str(sample.image.resolve()),
                "sound": str(sample.sound.resolve()),
                "start_seconds": round(sample.start_seconds, 4),
                "seconds": CLIP_SECONDS,
            }
            file.write(json.dumps(line) + "\n")


def make_results(methods: Mapping[str, Path], samples: list[Sample], size: int) -> dict[str, list[Image.Image]]:
    """For each method its result for every sample, `size` pixels square.

    A method is a checkpoint, or a folder that holds NAME.png or NAME.jpg of every sample.
    """
    return {name: _results_of(name, path, samples, size) for name, path in methods.items()}


def _results_of(name: str, path: Path, samples: list[Sample], size: int) -> list[Image.Image]:
    if path.is_dir():
        return [_read_result(name, path, sample, size) for sample in samples]
    model = CheckpointModel(path)
    if model.config.audio.sample_rate_hz != SAMPLE_RATE_HZ:
        raise StudyError(f"{path} wants sound at {model.config.audio.sample_rate_hz} Hz, not {SAMPLE_RATE_HZ}")
    results = []
    for sample in tqdm(samples, desc=name, unit="image"):
        waveform = media.window(sample.waveform, 0, model.config.audio.clip_samples)
        content = model.encode(media.square(sample.image, size).unsqueeze(0))
        result = model.decode(content, waveform.unsqueeze(0), [sample.example])
        results.append(Image.fromarray(media.to_pixels(result[0])))
    return results


def _read_result(name: str, folder: Path, sample: Sample, size: int) -> Image.Image:
    for suffix in (".png", ".jpg"):
        path = folder / f"{sample.name}{suffix}"
        if path.exists():
            try:
                with Image.open(path) as opened:
                    return opened.convert("RGB").resize((size, size), Image.Resampling.LANCZOS)
            except (OSError, Image.DecompressionBombError) as exc:
                raise StudyError(f"{path} is not a readable image: {exc}") from exc
    raise StudyError(f"{name}: {folder} has no {sample.name}.png; samples.jsonl says which images are needed")
