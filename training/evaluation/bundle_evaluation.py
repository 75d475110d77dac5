"""Bundles and controls on held-out photographs and recordings: what is drawn, measured and written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.data import media
from training.data.scene_photographs import Photograph, read_photographs
from training.data.sound_recordings import Recording, read_recordings
from training.evaluation.bundle_table import (
    GAINS_DB,
    THREE_SCENES,
    HeldOutImage,
    HeldOutSound,
    Judge,
    SceneResults,
    change_255,
    color_transfer_results,
    frechet_by_scene,
    gain_shares,
    judge_scenes,
    mixes_turn_evenly,
    stylize_all,
    three_labels,
    two_way_bootstrap,
)
from training.evaluation.color_statistics import color_statistics
from training.evaluation.metrics.findings import table
from training.evaluation.metrics.statistics import Estimate
from training.evaluation.onnx_bundle import FloatArray, OnnxBundle
from training.evaluation.scene_probe import Lite2Features, SceneProbe

SIDE = 256
COLOR_INVERSE_REGULARIZATION = 1.0
SHEET_IMAGES = 12
HOP_SECONDS = 0.05
FEW_IMAGES, FEW_SOUNDS = 4, 2  # for gains and mixes, which need many results each


def evaluate_bundles(
    folders: Sequence[Path],
    data: Path,
    recipe: Path,
    sounds_recipe: Path,
    output: Path,
    *,
    fold: int,
    image_count: int,
    sound_count: int,
) -> None:
    """Write the table, its figures as JSON, and a contact sheet for each bundle, into `output`.

    data: folder with photos/ and sounds/. fold: of the recordings, that is held out.
    """
    output.mkdir(parents=True, exist_ok=True)
    photographs = read_photographs(recipe, data / "photos")
    recordings = read_recordings(sounds_recipe, data / "sounds")
    scenes = sorted({p.scene for p in photographs if p.scene is not None})
    judge, *recalls = make_judge(photographs, scenes)
    said = [", ".join(f"{scenes[label]} {share:.2f}" for label, share in recall.items()) for recall in recalls]
    images = draw_images(photographs, image_count)
    bundles = [OnnxBundle(folder) for folder in folders]
    held_out = [recording for recording in recordings if recording.fold == fold]
    sounds = draw_sounds(held_out, scenes, sound_count, bundles[0])
    known = [sound for sound in sounds if sound.scene is not None]
    figures: dict[str, dict[str, Estimate | float]] = {}
    for bundle in bundles:
        figures[bundle.name] = measure(bundle, judge, images, sounds)
        sheet(bundle, images[:SHEET_IMAGES], known, scenes).save(output / f"{bundle.name}.png".replace(" ", "-"))
    examples = {
        scene: [_unit(_square(p.pixels)) for p in photographs if p.scene == scene and not p.held_out][:100]
        for scene in scenes
    }
    copies = {number: np.stack([image.pixels] * len(known)) for number, image in enumerate(images)}
    for name, made in (
        ("colors transferred", color_transfer_results(images, known, examples)),
        ("the input itself", copies),
    ):
        results = judge_scenes(judge, images, known, made)
        figures[name] = scene_figures(judge, results, images, known)
    note = (
        f"{len(images)} held-out photographs at {SIDE} px of {len({i.source for i in images})} sources, "
        f"{len(known)} held-out recordings of scenes and {len(sounds) - len(known)} of none, at the level as recorded; "
        "95 % intervals over sources of photographs and of recordings. The probe names real held-out photographs "
        f"rightly: {said[0]}; the one on color statistics: {said[1]}."
    )
    text = f"{note}\n\n{table(figures, _text)}\n"
    (output / "table.md").write_text(text)
    plain = {name: {key: _plain(value) for key, value in row.items()} for name, row in figures.items()}
    (output / "figures.json").write_text(json.dumps({"note": note, "figures": plain}, indent=1))
    print(text, end="")


def make_judge(
    photographs: Sequence[Photograph], scenes: Sequence[str]
) -> tuple[Judge, dict[int, float], dict[int, float]]:
    """The probes, trained on training photographs of the scenes; and the recall of each on held-out ones."""
    features = Lite2Features()
    of_scene = [p for p in photographs if p.scene is not None]
    found = np.concatenate([features(media.to_tensor(_square(p.pixels))[None]) for p in of_scene])
    labels = np.array([scenes.index(str(p.scene)) for p in of_scene])
    held_out = np.array([p.held_out for p in of_scene])
    probe = SceneProbe(found[~held_out], labels[~held_out].tolist())
    color_probe, color_recall = make_color_probe(of_scene, scenes)
    real = {scene: found[held_out & (labels == place)] for place, scene in enumerate(scenes)}
    judge = Judge(scenes, features, probe, color_probe, real)
    return judge, probe.recall(found[held_out], labels[held_out].tolist()), color_recall


def make_color_probe(photographs: Sequence[Photograph], scenes: Sequence[str]) -> tuple[SceneProbe, dict[int, float]]:
    """A probe of rain, snow and summer, trained on training photographs of them; and its recall on held-out ones."""
    three = three_labels(scenes)
    chosen = [p for p in photographs if p.scene is not None and scenes.index(p.scene) in three]
    found = np.concatenate([color_statistics(media.to_tensor(_square(p.pixels))[None]) for p in chosen])
    labels, held_out = np.array([scenes.index(str(p.scene)) for p in chosen]), np.array([p.held_out for p in chosen])
    probe = SceneProbe(found[~held_out], labels[~held_out].tolist(), COLOR_INVERSE_REGULARIZATION, standardized=False)
    return probe, probe.recall(found[held_out], labels[held_out].tolist())


def draw_images(photographs: Sequence[Photograph], count: int, seed: int = 11) -> list[HeldOutImage]:
    """Held-out photographs of no scene, in a seeded order, one of each source before a second of any."""
    candidates = [p for p in photographs if p.held_out and p.scene is None]
    order = np.random.default_rng(seed).permutation(len(candidates))
    chosen: list[int] = []
    taken: set[str] = set()
    for again in (False, True):
        for place in order.tolist():
            if len(chosen) < count and place not in chosen and (again or candidates[place].source not in taken):
                chosen.append(place)
                taken.add(candidates[place].source)
    return [HeldOutImage(_unit(_square(candidates[n].pixels)), candidates[n].source) for n in chosen]


def draw_sounds(
    recordings: Sequence[Recording], scenes: Sequence[str], count: int, bundle: OnnxBundle, seed: int = 11
) -> list[HeldOutSound]:
    """Of each kind up to `count` recordings, of as many sources as there are; the loudest window of each."""
    rng = np.random.default_rng(seed)
    drawn: list[HeldOutSound] = []
    for kind in sorted({recording.kind for recording in recordings}):
        by_source: dict[str, list[Recording]] = {}
        for recording in recordings:
            if recording.kind == kind:
                by_source.setdefault(recording.source, []).append(recording)
        queues = [list(rng.permutation(len(found))) for found in by_source.values()]
        sources = list(by_source)
        while queues and count > sum(sound.kind == kind for sound in drawn):
            for source, queue in zip(sources, queues, strict=True):
                if queue and sum(sound.kind == kind for sound in drawn) < count:
                    recording = by_source[source][queue.pop()]
                    window = loudest_window(recording.path, bundle.sample_rate_hz, bundle.clip_samples)
                    scene = kind if kind in scenes else None
                    drawn.append(HeldOutSound(window, scene, kind, recording.source))
            if not any(queues):
                break
    return sorted(drawn, key=lambda sound: sound.scene is None)


def loudest_window(path: Path, sample_rate_hz: int, samples: int) -> FloatArray:
    """[samples]: as the service chooses it; a shorter recording is repeated."""
    waveform = media.read_sound(path, sample_rate_hz).numpy()
    if len(waveform) <= samples:
        return np.tile(waveform, -(-samples // len(waveform)))[:samples].astype(np.float32)
    energy = np.concatenate([[0.0], np.cumsum(np.square(waveform, dtype=np.float64))])
    starts = np.arange(0, len(waveform) - samples + 1, max(1, round(HOP_SECONDS * sample_rate_hz)))
    start = int(starts[(energy[starts + samples] - energy[starts]).argmax()])
    return waveform[start : start + samples].astype(np.float32)


def measure(
    bundle: OnnxBundle, judge: Judge, images: Sequence[HeldOutImage], sounds: Sequence[HeldOutSound]
) -> dict[str, Estimate | float]:
    """All figures of one bundle."""
    known = [sound for sound in sounds if sound.scene is not None]
    strangers = [sound for sound in sounds if sound.scene is None]
    embeddings = bundle.embed(np.stack([sound.waveform for sound in known]))
    results = judge_scenes(judge, images, known, stylize_all(bundle, images, embeddings))
    figures = scene_figures(judge, results, images, known)
    rows, columns = [image.source for image in images], [sound.source for sound in strangers]

    strange = bundle.embed(np.stack([sound.waveform for sound in strangers]))
    made = stylize_all(bundle, images, strange)
    changes = np.array([change_255(made[number], image.pixels) for number, image in enumerate(images)])
    figures["change by sounds of no scene, share of that by scenes"] = two_way_bootstrap(
        changes / results.change.mean(), rows, columns
    )
    length = np.linalg.norm(np.concatenate([embeddings, strange]), axis=1)
    figures["AUROC of the embedding's length, scene against none"] = auroc(length[: len(known)], length[len(known) :])
    names, directions = bundle.known_sounds()
    nearest = [names[int(place)] for place in (embeddings @ directions.T).argmax(axis=1)]
    heard = np.array([[name == sound.scene for name, sound in zip(nearest, known, strict=True)]], float)
    figures["recordings heard as their scene"] = two_way_bootstrap(heard, ["-"], [sound.source for sound in known])

    few = [sound for scene in judge.scenes for sound in [s for s in known if s.scene == scene][:FEW_SOUNDS]]
    for level in (0.0, -7.0):  # the recordings lie at -26 dBFS
        shares = gain_shares(bundle, images[:FEW_IMAGES], few, level).mean(axis=(0, 1))
        for gain, share in zip(GAINS_DB, shares, strict=True):
            figures[f"effect at {gain:+.0f} dB, of a recording of {level - 26:.0f} dBFS"] = float(share)
    firsts = [
        next(sound for sound in known if sound.scene == scene)
        for scene in judge.scenes
        if scene in {sound.scene for sound in known}
    ]
    pairs = [(a, b) for place, a in enumerate(firsts) for b in firsts[place + 1 :]]
    pair_names = [f"{a.scene}, {b.scene}" for a, b in pairs]
    for summed in (False, True):
        even = mixes_turn_evenly(bundle, images[:FEW_IMAGES], pairs, summed)
        figure = "mixes that turn evenly" + (", of the sounds' sum" if summed else "")
        figures[figure] = two_way_bootstrap(even, rows[:FEW_IMAGES], pair_names)
    silence = bundle.embed(np.zeros((1, bundle.clip_samples), np.float32))
    silent = stylize_all(bundle, images, silence)
    figures["change by silence /255, the most"] = max(
        float(change_255(silent[number], image.pixels)[0]) for number, image in enumerate(images)
    )
    return figures


def scene_figures(
    judge: Judge, results: SceneResults, images: Sequence[HeldOutImage], sounds: Sequence[HeldOutSound]
) -> dict[str, Estimate | float]:
    """What can be said of controls as well."""
    rows, columns = [image.source for image in images], [sound.source for sound in sounds]
    of_scene = np.array([sound.scene for sound in sounds])
    figures: dict[str, Estimate | float] = {"right scene": two_way_bootstrap(results.right, rows, columns)}
    for scene in judge.scenes:
        here = of_scene == scene
        if here.any():
            own = [source for source, inside in zip(columns, here, strict=True) if inside]
            figures[f"right scene: {scene}"] = two_way_bootstrap(results.right[:, here], rows, own)
    for name, right in (("", results.right_of_three), (", by color statistics", results.right_by_color)):
        figures[f"right of three scenes{name}"] = two_way_bootstrap(right, rows, columns)
        for scene in THREE_SCENES:
            here = of_scene == scene
            if here.any():
                own = [source for source, inside in zip(columns, here, strict=True) if inside]
                figures[f"right of three scenes{name}: {scene}"] = two_way_bootstrap(right[:, here], rows, own)
    figures["gradient correlation"] = two_way_bootstrap(results.kept, rows, columns)
    figures["change /255"] = two_way_bootstrap(results.change, rows, columns)
    distances = [frechet_by_scene(judge, results, scene) for scene in judge.scenes if len(results.features[scene]) > 1]
    figures["Fréchet distance to the scene's photographs (Lite2)"] = float(np.mean(distances))
    return figures


def auroc(positive: NDArray[np.floating], negative: NDArray[np.floating]) -> float:
    """Share of pairs in which the positive is greater; a tie counts half."""
    above = (positive[:, None] > negative[None]).mean()
    return float(above + 0.5 * (positive[:, None] == negative[None]).mean())


def sheet(
    bundle: OnnxBundle, images: Sequence[HeldOutImage], sounds: Sequence[HeldOutSound], scenes: Sequence[str]
) -> Image.Image:
    """A row an image: the input, then the result for the first held-out recording of each scene."""
    firsts = [next((s for s in sounds if s.scene == scene), None) for scene in scenes]
    embeddings = bundle.embed(np.stack([sound.waveform for sound in firsts if sound is not None]))
    rows = []
    for image in images:
        results = bundle.decode(bundle.encode(image.pixels[None]), embeddings)
        rows.append(np.concatenate([image.pixels, *results], axis=2))
    pixels = np.concatenate(rows, axis=1).transpose(1, 2, 0)
    return Image.fromarray((pixels.clip(0, 1) * 255 + 0.5).astype(np.uint8))


def _square(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    top, left = (height - SIDE) // 2, (width - SIDE) // 2
    return pixels[top : top + SIDE, left : left + SIDE]


def _unit(pixels: NDArray[np.uint8]) -> FloatArray:
    unit: FloatArray = np.ascontiguousarray(pixels.transpose(2, 0, 1)).astype(np.float32) / np.float32(255)
    return unit


def _text(value: Estimate | float) -> str:
    if isinstance(value, Estimate):
        return f"{value.mean:.2f} [{value.low:.2f}, {value.high:.2f}]"
    return f"{value:.3g}"


def _plain(value: Estimate | float) -> float | dict[str, float]:
    return vars(value) if isinstance(value, Estimate) else value
