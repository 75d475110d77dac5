"""The recordings that the audio encoder learns from: the kind of each, its source, and the fold of the source."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SUFFIXES = (".ogg", ".wav", ".flac", ".mp3", ".m4a", ".mp4", ".mkv", ".webm")


class SoundRecipeError(ValueError):
    """A recipe, or a folder of sounds, that cannot be used; the message says what to do."""


@dataclass(frozen=True)
class Recording:
    """name: path relative to the folder of sounds. shares: kind -> share of it that it is taught as, summing to 1."""

    path: Path
    name: str
    kind: str
    source: str
    fold: int
    shares: Mapping[str, float]


def read_recordings(recipe: Path, sounds: Path) -> list[Recording]:
    """Every recording under `sounds` that the recipe gives a kind, by name; those that it does not name are left out.

    Raises SoundRecipeError if the recipe is damaged, finds nothing, or a source is in no fold.
    """
    try:
        plan = tomllib.loads(recipe.read_text())
        folders, files = dict(plan["folders"]), dict(plan.get("files", {}))
        folds = {source: int(fold) for fold, sources in plan["folds"].items() for source in sources}
        shares: dict[str, dict[str, float]] = plan.get("shares", {})
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError, ValueError, AttributeError) as exc:
        raise SoundRecipeError(f"{recipe} is not a recipe of sounds ([folders] and [folds] in TOML): {exc!r}") from exc
    found = []
    for path in sorted(sounds.rglob("*")):
        name = path.relative_to(sounds).as_posix()
        kind = files.get(name, folders.get(path.relative_to(sounds).parent.as_posix()))
        if kind is None or path.suffix.lower() not in _SUFFIXES:
            continue
        source = source_of(name, plan.get("collections", []), plan.get("same_source", {}))
        if source not in folds:
            raise SoundRecipeError(f"{name} is of the source {source!r}, which {recipe} puts into no fold")
        found.append(Recording(path, name, kind, source, folds[source], _shares(recipe, kind, shares)))
    if not found:
        raise SoundRecipeError(f"{sounds} holds no recording that {recipe} names")
    return found


def source_of(name: str, collections: Sequence[str], same_source: Mapping[str, str]) -> str:
    """Whose recording it is, by its name: see `training/recipes/scene-audio.toml`."""
    folder, _, file_name = name.rpartition("/")
    stem = Path(file_name).stem
    prefix = stem.split("-")[0]
    if prefix in collections or folder in collections:
        return stem
    return same_source.get(prefix, prefix)


def _shares(recipe: Path, kind: str, shares: Mapping[str, Any]) -> dict[str, float]:
    of_kind = shares.get(kind, {kind: 1.0})
    if abs(sum(of_kind.values()) - 1) > 1e-6:
        raise SoundRecipeError(f"{recipe}: the shares of {kind!r} sum to {sum(of_kind.values())}, not to 1")
    return dict(of_kind)
