"""What to keep of a tree of videos and what to call it: a recipe in TOML, such as those of the paper's two datasets."""

from __future__ import annotations

import dataclasses
import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "recipes"
_LEAST_SCORE = 0.05  # of a category; YAMNet gives 0.1 to steps in snow, and 0.01 to much that is not there


class RecipeError(ValueError):
    """A recipe that cannot be used; the message says what to do."""


@dataclass(frozen=True)
class Category:
    """A scene that clips are put in: by the classes of their sound and, where sounds do not tell, by the file's path.

    sounds: AudioSet classes, whose scores are added. words: one of them must stand in the path; none: any path.
    """

    name: str
    sounds: tuple[str, ...]
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Labels:
    """A text file beside each video that says what is seen in it: the most frequent word of a column decides."""

    video_ending: str  # of the video's name, in whose place ...
    ending: str  # ... stands this in the name of the text file
    column: int  # from 0
    keep: tuple[str, ...]

    def of(self, video: Path) -> str | None:
        """The word for that video; None if its text file is missing or holds none."""
        if not video.name.endswith(self.video_ending):
            return None
        text = video.with_name(video.name.removesuffix(self.video_ending) + self.ending)
        if not text.is_file():
            return None
        rows = [line.split() for line in text.read_text(errors="replace").splitlines()]
        words = Counter(row[self.column] for row in rows if len(row) > self.column and row[self.column] != "None")
        return min(words, key=lambda word: (-words[word], word)) if words else None


@dataclass(frozen=True)
class Recipe:
    """The settings of `prepare` that shape what comes out; the same settings make the same files."""

    searches: tuple[str, ...] = ()  # how to find the videos; for people
    expected_videos: int = 0  # 0: any number
    files: tuple[str, ...] = ("**/*",)  # patterns below the folder; files that have no video's ending are passed over
    test_share: float = 0.2  # of the videos
    short_side: int = 512
    min_loudness_dbfs: float = -60.0  # clips that are softer have no sound
    max_music: float = 0.5  # score of AudioSet's class Music above which a clip is music; needs a tagger
    max_speech: float = 1.0  # share of a clip that may be speech; needs the detector
    category: tuple[Category, ...] = ()
    labels: Labels | None = None

    def scene(self, name: str, scores: Mapping[str, float]) -> str | None:
        """The category that scores best for a clip of the video `name` (its path in the tree), if one does."""
        path = name.lower()
        totals = {
            category.name: sum(scores.get(sound, 0.0) for sound in category.sounds)
            for category in self.category
            if not category.words or any(word in path for word in category.words)
        }
        best = max(totals, key=lambda key: totals[key], default=None)
        return best if best is not None and totals[best] >= _LEAST_SCORE else None


def shipped() -> list[str]:
    """The names of this package's recipes of videos."""
    others = {"scene", "photographs", "folders"}  # of pairs, of photographs by scene, and of recordings by kind
    return sorted(path.stem for path in FOLDER.glob("*.toml") if not others & tomllib.loads(path.read_text()).keys())


def read_recipe(name: str, changes: Mapping[str, Any]) -> Recipe:
    """A shipped recipe or a TOML file, with the changes that are not None; "" for the defaults. Raises RecipeError."""
    values: dict[str, Any] = {}
    if name:
        path = FOLDER / f"{name}.toml" if name in shipped() else Path(name)
        try:
            values = tomllib.loads(path.read_text())
        except FileNotFoundError as exc:
            raise RecipeError(
                f"there is no recipe {name!r}: name a TOML file or one of {', '.join(shipped())}"
            ) from exc
        except (OSError, ValueError) as exc:
            raise RecipeError(f"{path} is not a recipe in TOML: {exc}") from exc
    values |= {key: value for key, value in changes.items() if value is not None}
    try:
        if "labels" in values:
            values["labels"] = Labels(**_tuples(values["labels"]))
        values["category"] = tuple(Category(**_tuples(each)) for each in values.get("category", ()))
        recipe = Recipe(**_tuples(values))
    except TypeError as exc:
        known = ", ".join(field.name for field in dataclasses.fields(Recipe))
        raise RecipeError(
            f"the recipe {name!r} has a setting that is unknown or missing ({exc}); known: {known}"
        ) from exc
    _check(recipe)
    return recipe


def _check(recipe: Recipe) -> None:
    if not 0 < recipe.test_share < 1:
        raise RecipeError(f"test_share is {recipe.test_share}; it must lie between 0 and 1, such as 0.2")
    if not 16 <= recipe.short_side <= 4096:
        raise RecipeError(f"short_side is {recipe.short_side} pixels; it must lie in 16..4096")
    for name in ("max_music", "max_speech"):
        if not 0 <= getattr(recipe, name) <= 1:
            raise RecipeError(f"{name} is {getattr(recipe, name)}; it must lie in 0..1")
    if recipe.min_loudness_dbfs > 0:
        raise RecipeError(
            f"min_loudness_dbfs is {recipe.min_loudness_dbfs}; full scale is 0, so give a negative number"
        )


def _tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
