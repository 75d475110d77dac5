"""The evaluation of a bundle on held-out photographs and recordings: one table, with controls, and contact sheets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from training.evaluation.color_statistics import color_statistics
from training.evaluation.metrics.controls import colour_transfer
from training.evaluation.metrics.frechet import Gaussian, frechet_distance
from training.evaluation.metrics.pictures import gradient_correlation
from training.evaluation.metrics.statistics import Estimate
from training.evaluation.onnx_bundle import FloatArray, OnnxBundle
from training.evaluation.scene_probe import Lite2Features, SceneProbe

GAINS_DB = (-30.0, -20.0, -10.0, 0.0, 12.0)
MIX_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
EVEN_MIDDLE = (0.25, 0.75)  # where the half-and-half mix may lie on the way from one look to the other
THREE_SCENES = ("rain", "snow", "summer")
ROUNDS = 2000


@dataclass(frozen=True)
class HeldOutImage:
    """pixels: [3, S, S] in 0..1."""

    pixels: FloatArray
    source: str


@dataclass(frozen=True)
class HeldOutSound:
    """waveform: [N], the loudest window. scene: None for a sound that is of no scene."""

    waveform: FloatArray
    scene: str | None
    kind: str
    source: str


@dataclass(frozen=True)
class Judge:
    """What every method is judged by.

    probe: on Lite2 features, of all scenes. color_probe: on color statistics, of those of the three scenes that there
    are. photographs: Lite2 features [n, D] of real held-out photographs of each scene.
    """

    scenes: Sequence[str]
    features: Lite2Features
    probe: SceneProbe
    color_probe: SceneProbe
    photographs: Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class SceneResults:
    """What one method made of every image for every sound of the scenes.

    right, right_of_three, right_by_color: [P, R] whether the probe, the probe among three scenes, and the color probe
    names the scene (NaN where it is none of the three). kept: [P, R] gradient correlation. change: [P, R] mean absolute
    change in units of 1/255. features: scene -> [n, D].
    """

    right: NDArray[np.float64]
    right_of_three: NDArray[np.float64]
    right_by_color: NDArray[np.float64]
    kept: NDArray[np.float64]
    change: NDArray[np.float64]
    features: Mapping[str, NDArray[np.float32]]


def two_way_bootstrap(values: NDArray[np.float64], rows: Sequence[str], columns: Sequence[str]) -> Estimate:
    """The mean of [P, R] and its 95 % interval, image sources (rows) and recordings (columns) drawn anew, both."""
    rng = np.random.default_rng(0)
    row_names, row_of = np.unique(np.asarray(rows), return_inverse=True)
    column_names, column_of = np.unique(np.asarray(columns), return_inverse=True)
    known = ~np.isnan(values)
    sums = np.zeros((len(row_names), len(column_names)))
    counts = np.zeros_like(sums)
    np.add.at(sums, (row_of[:, None], column_of[None]), np.where(known, values, 0.0))
    np.add.at(counts, (row_of[:, None], column_of[None]), known)
    draws = []
    for _ in range(ROUNDS):
        by_row = np.bincount(rng.integers(len(row_names), size=len(row_names)), minlength=len(row_names))
        by_column = np.bincount(rng.integers(len(column_names), size=len(column_names)), minlength=len(column_names))
        weight = np.outer(by_row, by_column)
        if (total := (weight * counts).sum()) > 0:
            draws.append((weight * sums).sum() / total)
    low, high = np.percentile(draws, [2.5, 97.5])
    return Estimate(float(sums.sum() / counts.sum()), float(low), float(high))


def change_255(made: FloatArray, image: FloatArray) -> NDArray[np.float64]:
    """Mean absolute difference of [B, 3, H, W] from [3, H, W], both in 0..1, in units of 1/255: [B]."""
    return np.abs(made - image[None]).reshape(len(made), -1).mean(axis=1).astype(np.float64) * 255


def judge_scenes(
    judge: Judge, images: Sequence[HeldOutImage], sounds: Sequence[HeldOutSound], made_for: Mapping[int, FloatArray]
) -> SceneResults:
    """made_for: image number -> [R, 3, S, S], one result for each of the sounds."""
    labels = np.array([judge.scenes.index(sound.scene) for sound in sounds if sound.scene is not None])
    three = three_labels(judge.scenes)
    is_of_three = np.isin(labels, three)
    right, of_three, by_color, kept, change, features = [], [], [], [], [], []
    for number, image in enumerate(images):
        made = torch.from_numpy(made_for[number]) * 2 - 1
        source = torch.from_numpy(image.pixels)[None].expand(len(made), -1, -1, -1) * 2 - 1
        found = judge.features(made)
        right.append(judge.probe(found) == labels)
        of_three.append(np.where(is_of_three, judge.probe(found, three) == labels, np.nan))
        by_color.append(np.where(is_of_three, judge.color_probe(color_statistics(made)) == labels, np.nan))
        kept.append(gradient_correlation(made, source).numpy())
        change.append(change_255(made_for[number], image.pixels))
        features.append(found)
    stacked = np.stack(features)  # [P, R, D]
    by_scene = {
        scene: stacked[:, labels == place].reshape(-1, stacked.shape[2]) for place, scene in enumerate(judge.scenes)
    }
    return SceneResults(
        np.array(right, float),
        np.array(of_three, float),
        np.array(by_color, float),
        np.array(kept, float),
        np.array(change),
        by_scene,
    )


def three_labels(scenes: Sequence[str]) -> list[int]:
    """Labels of those of rain, snow and summer that are among the scenes."""
    return [scenes.index(name) for name in THREE_SCENES if name in scenes]


def stylize_all(bundle: OnnxBundle, images: Sequence[HeldOutImage], embeddings: FloatArray) -> dict[int, FloatArray]:
    """Image number -> [R, 3, S, S], one result for each embedding."""
    return {
        number: bundle.decode(bundle.encode(image.pixels[None]), embeddings)
        for number, image in enumerate(tqdm(images, desc=bundle.name, unit="image"))
    }


def color_transfer_results(
    images: Sequence[HeldOutImage], sounds: Sequence[HeldOutSound], examples: Mapping[str, Sequence[FloatArray]]
) -> dict[int, FloatArray]:
    """The control: each image with the colors of a training photograph of the sound's scene (Reinhard et al. 2001)."""
    rng = np.random.default_rng(0)
    results = {}
    for number, image in enumerate(images):
        made = []
        for sound in sounds:
            chosen = examples[str(sound.scene)]
            example = chosen[int(rng.integers(len(chosen)))]
            colored = colour_transfer(torch.from_numpy(image.pixels) * 2 - 1, torch.from_numpy(example) * 2 - 1)
            made.append((colored.numpy() + 1) / 2)
        results[number] = np.stack(made).astype(np.float32)
    return results


def frechet_by_scene(judge: Judge, results: SceneResults, scene: str) -> float:
    """Fréchet distance of the results' features to those of real held-out photographs; biased upwards by few images."""
    return frechet_distance(Gaussian.of(results.features[scene]), Gaussian.of(judge.photographs[scene]))


def gain_shares(
    bundle: OnnxBundle, images: Sequence[HeldOutImage], sounds: Sequence[HeldOutSound], level_db: float = 0.0
) -> NDArray[np.float64]:
    """[P, R, gains]: change at each gain as a share of the most. level_db: how far the recordings are raised first."""
    waveforms = np.stack([sound.waveform for sound in sounds])
    shares = []
    for image in images:
        content = bundle.encode(image.pixels[None])
        levels = [waveforms * np.float32(10 ** ((level_db + gain) / 20)) for gain in GAINS_DB]
        changes = [change_255(bundle.decode(content, bundle.embed(level)), image.pixels) for level in levels]
        by_gain = np.stack(changes, axis=1)  # [R, gains]
        shares.append(by_gain / by_gain.max(axis=1, keepdims=True).clip(min=1e-6))
    return np.stack(shares)


def mixes_turn_evenly(
    bundle: OnnxBundle,
    images: Sequence[HeldOutImage],
    pairs: Sequence[tuple[HeldOutSound, HeldOutSound]],
    summed: bool = False,
) -> NDArray[np.float64]:
    """[P, pairs]: whether the results of the five shares go steadily from one look to the other, half-way at half.

    The way is the line between the two looks: t = <y - y0, y1 - y0> / |y1 - y0|^2. The sounds are heard one by one and
    their embeddings mixed, as the service does, or `summed` before they are heard, as the paper does.
    """
    rows = []
    for image in images:
        content = bundle.encode(image.pixels[None])
        row = []
        for first, second in pairs:
            both, shares = np.stack([_at_one_level(first), _at_one_level(second)]), np.array(MIX_SHARES, np.float32)
            weights = np.stack([1 - shares, shares], axis=1)  # [5, 2]
            embeddings = bundle.embed(weights @ both) if summed else mixed_embeddings(bundle.embed(both), weights)
            made = bundle.decode(content, embeddings).reshape(len(MIX_SHARES), -1)
            way = made[-1] - made[0]
            t = (made - made[0]) @ way / max(float(way @ way), 1e-9)
            row.append(bool((np.diff(t) > 0).all() and EVEN_MIDDLE[0] <= t[2] <= EVEN_MIDDLE[1]))
        rows.append(row)
    return np.array(rows, float)


def mixed_embeddings(embeddings: FloatArray, weights: FloatArray) -> FloatArray:
    """[2, E], [n, 2] -> [n, E]: their means by the weights, as long as they are on average (as the service mixes)."""
    blend = weights @ embeddings
    lengths = np.linalg.norm(blend, axis=1, keepdims=True)
    wanted = weights @ np.linalg.norm(embeddings, axis=1, keepdims=True)
    mixed: FloatArray = blend * wanted / np.maximum(lengths, 1e-9)
    return mixed


def _at_one_level(sound: HeldOutSound) -> FloatArray:
    rms = float(np.sqrt(np.mean(np.square(sound.waveform, dtype=np.float64))))
    return sound.waveform * np.float32(0.05 / max(rms, 1e-6))
