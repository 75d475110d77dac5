"""The index of what occurs together: one JSON line an image-and-sound pair, and the builder for scene-paired folders.

A line: `image`, `sound` (null: an image to be restyled only), `start` and `seconds` (the stretch of the sound from
which a random window is drawn), `split`, `source` (what must not be in two splits), `weight` (share of the draws),
`scene` (for reports; in training only the preset `keyword` reads it) and `max_red` (`training.data.media.less_red`).
Paths are relative to the index file where they can be.
"""

from __future__ import annotations

import json
import math
import os
import tomllib
import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from training.data.files import written_whole
from training.data.media import MediaError, read_image, read_sound
from training.data.pack import open_pack, pack_of


class PairingError(ValueError):
    """An index or a pairing file that cannot be used; the message says what to do."""


@dataclass(frozen=True)
class Pair:
    image: Path
    sound: Path | None
    start: float
    seconds: float
    split: str
    source: str
    weight: float
    scene: str
    max_red: float = 1.0


def write_index(pairs: Iterable[Pair], path: Path) -> None:
    """Write atomically: a reader sees the old index or the new one."""
    base = path.parent.resolve()
    resolved: dict[Path, Path] = {}  # folders: there are few of them, and pairs by the hundred thousand
    with written_whole(path) as partial, partial.open("w", encoding="utf-8") as file:
        for pair in pairs:
            values = asdict(pair)
            for key in ("image", "sound"):
                if (file_path := values[key]) is not None:
                    if file_path.parent not in resolved:
                        resolved[file_path.parent] = file_path.parent.resolve()
                    values[key] = os.path.relpath(resolved[file_path.parent] / file_path.name, base)
            file.write(json.dumps(values) + "\n")


def read_index(path: Path, split: str) -> list[Pair]:
    """The pairs of one split, of an index or of the one in a pack.

    Raises PairingError for a broken line or an empty split, PackError for a broken pack.

    Files of other systems are read as well: with a byte order mark, CRLF, and paths with backslashes.
    """
    pairs = []
    is_pack = pack_of(path) == path
    try:
        text = open_pack(path).index if is_pack else path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as exc:
        raise PairingError(f"{path} is not UTF-8: {exc}; write the index as UTF-8") from exc
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            pair = _pair(json.loads(line), path if is_pack else path.parent)
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise PairingError(f"{path}, line {number}, is not an index line: {exc}") from exc
        if pair.split == split:
            pairs.append(pair)
    if not pairs:
        raise PairingError(f"{path} has no pair in the split {split!r}")
    return pairs


def _pair(values: dict[str, Any], folder: Path) -> Pair:
    values = dict(values)
    for name in ("image", "sound"):
        if not isinstance(values[name], str | None):
            raise TypeError(f"`{name}` is a path, not {values[name]!r}")
    for name in ("start", "seconds", "weight"):
        values[name] = float(values[name])
        if not (math.isfinite(values[name]) and values[name] >= 0):
            raise ValueError(f"`{name}` is {values[name]}")
    values["image"] = folder / _portable(values["image"])
    values["sound"] = folder / _portable(values["sound"]) if values["sound"] else None
    return Pair(**values)


def _portable(path: str) -> str:
    """Backslashes of Windows as slashes."""
    return path.replace("\\", "/")


def build_scene_index(recipe: Path, data: Path, output: Path) -> dict[str, int]:
    """Pair every selected photograph of a scene with every sound of that scene, as the TOML recipe says.

    Photographs are split by a hash of their group (near-duplicates stay together); sounds by file, or, where a scene
    has one recording only, by time with a gap of one second. Returns the number of photographs by "scene/split".
    """
    try:
        plan = tomllib.loads(recipe.read_text())
        scenes: list[dict[str, Any]] = plan["scene"]
    except (OSError, tomllib.TOMLDecodeError, KeyError) as exc:
        raise PairingError(f"{recipe} is not a pairing recipe ([[scene]] tables in TOML): {exc!r}") from exc
    for number, scene in enumerate(scenes, 1):
        _check_scene(recipe, number, scene)
    test_share = float(plan.get("test_share", 0.15))
    chosen: list[tuple[dict[str, Any], Path]] = []
    for scene in scenes:
        files = sorted({f for pattern in scene["photos"] for f in (data / plan.get("photos", "photos")).glob(pattern)})
        if not files:
            raise PairingError(f"scene {scene['name']!r}: no photograph matches {scene['photos']} below {data}")
        for file in tqdm(files, desc=scene["name"], leave=False):
            try:
                if _is_selected(read_image(file), scene.get("select", {})):
                    chosen.append((scene, file))
            except MediaError as exc:
                tqdm.write(f"skipped: {exc}")
    groups = _near_duplicates([read_image(file) for _, file in chosen])
    by_scene: dict[tuple[str, str], list[tuple[Path, str]]] = defaultdict(list)
    for (scene, file), group in zip(chosen, groups, strict=True):
        source = chosen[group][1].stem
        split = "test" if zlib.crc32(source.encode()) % 1000 < 1000 * test_share else "train"
        by_scene[scene["name"], split].append((file, source))
    pairs = []
    for scene in scenes:
        for split in ("train", "test"):
            stretches = _stretches(scene, data / plan.get("sounds", "sounds"), split)
            photographs = by_scene[scene["name"], split]
            max_red = float(scene.get("max_red", 1.0))
            share = float(scene.get("weight", 1.0)) / max(1, len(photographs) * len(stretches))
            for file, source in photographs:
                for sound, start, seconds in stretches:
                    pairs.append(Pair(file, sound, start, seconds, split, source, share, scene["name"], max_red))
    write_index(pairs, output)
    return {f"{name}/{split}": len(files) for (name, split), files in sorted(by_scene.items())}


def _check_scene(recipe: Path, number: int, scene: dict[str, Any]) -> None:
    if not isinstance(scene.get("name"), str) or not isinstance(scene.get("photos"), list):
        raise PairingError(f"{recipe}, scene {number}: `name` and `photos` (a list of patterns) are needed")
    if any("file" not in sound for sound in scene.get("sounds", [])):
        raise PairingError(f"{recipe}, scene {scene['name']!r}: every sound needs its `file`")


def _stretches(scene: dict[str, Any], folder: Path, split: str) -> list[tuple[Path | None, float, float]]:
    found: list[tuple[Path | None, float, float]] = []
    for sound in scene.get("sounds", []):
        path = folder / sound["file"]
        length = len(read_sound(path, 16_000)) / 16_000
        if "test_after" in sound:
            cut = float(sound["test_after"])
            found.append((path, 0.0, cut) if split == "train" else (path, cut + 1.0, length - cut - 1.0))
        elif sound.get("split", "train") == split:
            found.append((path, 0.0, length))
    return found or [(None, 0.0, 0.0)]


def photo_statistics(pixels: NDArray[np.uint8]) -> dict[str, float]:
    """What a recipe can select by, each in 0..1.

    Mean `saturation` and `brightness`; `snow`, the share of white pixels in the lower half (on the ground rather than
    in the sky); `green`, the share of leaf-coloured pixels; `blue`, that of sky-coloured ones.
    """
    small = np.asarray(Image.fromarray(pixels).resize((64, 64), Image.Resampling.BOX).convert("HSV"), np.float32) / 255
    hue, saturation, value = small[:, :, 0] * 360, small[:, :, 1], small[:, :, 2]
    return {
        "saturation": float(saturation.mean()),
        "brightness": float(value.mean()),
        "snow": float(((value > 0.72) & (saturation < 0.2))[32:].mean()),
        "green": float(((hue > 65) & (hue < 170) & (saturation > 0.25) & (value > 0.15)).mean()),
        "blue": float(((hue > 180) & (hue < 250) & (saturation > 0.25) & (value > 0.4)).mean()),
    }


def _is_selected(pixels: NDArray[np.uint8], select: dict[str, Sequence[float]]) -> bool:
    statistics = photo_statistics(pixels)
    if unknown := set(select) - set(statistics):
        raise PairingError(f"cannot select by {sorted(unknown)}; known: {sorted(statistics)}")
    return all(low <= statistics[name] <= high for name, (low, high) in select.items())


def _near_duplicates(images: Sequence[NDArray[np.uint8]], distance: int = 5) -> list[int]:
    """For each image the number of the first one that looks the same (difference hash of 64 bits)."""
    hashes = []
    for pixels in images:
        grey = np.asarray(Image.fromarray(pixels).convert("L").resize((9, 8), Image.Resampling.BOX), np.int16)
        hashes.append((grey[:, 1:] > grey[:, :-1]).ravel())
    table = np.array(hashes)
    first = list(range(len(table)))
    for number in range(len(table)):
        same = np.flatnonzero((table[:number] != table[number]).sum(axis=1) <= distance)
        if len(same):
            first[number] = first[same[0]]
    return first
