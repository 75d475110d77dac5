"""The photographs that the shipped model learns from: the scene of each, its source, and whether it is held out."""

from __future__ import annotations

import hashlib
import tomllib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from training.data.media import MediaError, read_image

LARGEST_SET = 45  # a larger set is a collection of many authors: there every photograph is a source of its own
SHORT_SIDE = 256  # pixels that are kept
LONGEST_SIDE = 800
WHITE, GRAY = 0.65, 0.18  # least value and most saturation of a pixel of snow


class PhotographRecipeError(ValueError):
    """A recipe, or a folder of photographs, that cannot be used; the message says what to do."""


@dataclass(frozen=True)
class Photograph:
    """pixels: [H, W, 3] uint8, short side SHORT_SIDE. scene: None for one that is only ever restyled.

    source: what must not be on both sides of the split. counterpart_of: for one of no scene, the scene in which what it
    shows looks like this.
    """

    pixels: NDArray[np.uint8]
    name: str
    scene: str | None
    source: str
    held_out: bool
    counterpart_of: str | None = None


def read_photographs(recipe: Path, folder: Path) -> list[Photograph]:
    """Every photograph below `folder` that the recipe's [[photographs]] tables name, in their order.

    A table has `files` (patterns), and may have `scene` and `select` (bounds of `snow`, `green`, `blue` and
    `brightness`; a photograph outside of them belongs to no scene). [[counterparts]] tables, of the same form, name
    photographs among those of no scene: the first that selects one counts. Raises PhotographRecipeError.
    """
    chosen, held_out_percent = _chosen(recipe, folder, "photographs")
    counterparts: dict[Path, list[dict[str, Any]]] = defaultdict(list)
    for table, path in _chosen(recipe, folder, "counterparts")[0]:
        counterparts[path].append(table)
    sizes = Counter(_set_of(path) for _, path in chosen)
    found = []
    for table, path in tqdm(chosen, desc="photographs", unit="image"):
        try:
            pixels = _reduced(read_image(path))
        except MediaError as exc:
            tqdm.write(f"skipped: {exc}")
            continue
        if max(pixels.shape) > LONGEST_SIDE:
            continue
        source = _source(path, sizes)
        scene = table.get("scene") if is_selected(pixels, table.get("select", {})) else None
        looks_like = [each["scene"] for each in counterparts[path] if is_selected(pixels, each.get("select", {}))]
        found.append(
            Photograph(
                pixels,
                path.relative_to(folder).as_posix(),
                scene,
                source,
                _is_held_out(source, held_out_percent),
                looks_like[0] if looks_like and scene is None else None,
            )
        )
    if not found:
        raise PhotographRecipeError(f"{folder} holds no photograph that {recipe} names")
    return found


def held_out_files(recipe: Path, folder: Path, folders: Sequence[str] = ()) -> list[Path]:
    """The files of the held-out sources, of these folders alone where some are named. Raises PhotographRecipeError."""
    chosen, held_out_percent = _chosen(recipe, folder, "photographs")
    sizes = Counter(_set_of(path) for _, path in chosen)
    files = {path for _, path in chosen if not folders or path.parent.name in folders}
    found = sorted(path for path in files if _is_held_out(_source(path, sizes), held_out_percent))
    if not found:
        raise PhotographRecipeError(f"{folder} holds no held-out photograph of {', '.join(folders) or 'the recipe'}")
    return found


def is_selected(pixels: NDArray[np.uint8], bounds: Mapping[str, tuple[float, float]]) -> bool:
    """Whether the measures that `bounds` names (least, most) lie within them.

    snow: share of white pixels in the lower half; green, blue: share of such pixels; brightness: the mean, in 0..1.
    """
    x = pixels.astype(np.float32) / 255
    red, green, blue = x[..., 0], x[..., 1], x[..., 2]
    value, least = x.max(axis=2), x.min(axis=2)
    white = (value > WHITE) & ((value - least) / (value + 1e-6) < GRAY)
    measures = {
        "snow": white[len(x) // 2 :].mean(),
        "green": ((green > red * 1.02) & (green > blue * 1.1)).mean(),
        "blue": ((blue > red * 1.15) & (blue > green * 0.97)).mean(),
        "brightness": x.mean(),
    }
    return all(low <= measures[name] <= high for name, (low, high) in bounds.items())


def _chosen(
    recipe: Path, folder: Path, kind: Literal["photographs", "counterparts"]
) -> tuple[list[tuple[dict[str, Any], Path]], int]:
    """Every table of a kind with each of its files, and the percentage that is held out."""
    try:
        plan = tomllib.loads(recipe.read_text())
        tables: list[dict[str, Any]] = plan["photographs"] if kind == "photographs" else plan.get(kind, [])
        if kind == "counterparts" and not all(isinstance(table["scene"], str) for table in tables):
            raise ValueError("the `scene` of [[counterparts]] is a name")
        held_out_percent = int(plan["held_out_percent"])
        chosen = [(table, path) for table in tables for p in table["files"] for path in sorted(folder.glob(p))]
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as exc:
        raise PhotographRecipeError(
            f"{recipe} is not a recipe of photographs ([[photographs]] in TOML): {exc!r}"
        ) from exc
    return chosen, held_out_percent


def _source(path: Path, sizes: Counter[str]) -> str:
    return path.name if sizes[_set_of(path)] > LARGEST_SET else _set_of(path)


def _set_of(path: Path) -> str:
    """The set a photograph belongs to: its file name up to the last hyphen; without one the file itself."""
    stem, hyphen, _ = path.stem.rpartition("-")
    return stem if hyphen and not path.parent.name.startswith("yosemite") else path.name


def _is_held_out(source: str, percent: int) -> bool:
    return int(hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest(), 16) % 100 < percent


def _reduced(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    image = Image.fromarray(pixels)
    scale = SHORT_SIDE / min(image.size)
    size = (max(SHORT_SIDE, round(image.width * scale)), max(SHORT_SIDE, round(image.height * scale)))
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS))
