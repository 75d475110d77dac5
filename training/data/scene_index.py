"""The index of a recipe of scenes: every photograph of a scene beside every recording of it."""

from __future__ import annotations

import tomllib
from collections import Counter
from pathlib import Path

from training.data import media
from training.data.index import Pair, PairingError, write_index
from training.data.scene_photographs import PhotographRecipeError, read_photographs
from training.data.sound_recordings import SoundRecipeError, read_recordings

NO_SCENE = "content"  # what the index calls photographs that are only ever restyled
RATE_HZ = 16_000  # at which a recording's length is taken


def is_scene_recipe(recipe: Path) -> bool:
    """Whether the recipe has [[photographs]] tables."""
    try:
        return "photographs" in tomllib.loads(recipe.read_text())
    except (OSError, tomllib.TOMLDecodeError):
        return False


def build_scene_index(recipe: Path, data: Path, output: Path) -> dict[str, int]:
    """Write the index of `data`/photos and `data`/sounds. Returns the number of photographs by "scene/split".

    `sounds` of the recipe names the recipe of recordings beside it; its fold `held_out_fold` (0) is the test split.
    Each scene has the same weight, each photograph and each recording within it too. A scene's counterparts are
    photographs of it, and beside that such as are to be restyled. Raises PairingError.
    """
    try:
        plan = tomllib.loads(recipe.read_text())
        recordings = read_recordings(recipe.parent / plan["sounds"], data / "sounds")
        photographs = read_photographs(recipe, data / "photos")
    except (KeyError, SoundRecipeError, PhotographRecipeError) as exc:
        raise PairingError(f"{recipe} cannot be used: {exc}") from exc
    scenes = {photograph.scene for photograph in photographs}
    lengths = {
        each.name: len(media.read_sound(each.path, RATE_HZ)) / RATE_HZ for each in recordings if each.kind in scenes
    }
    fold = int(plan.get("held_out_fold", 0))
    counts: Counter[str] = Counter()
    pairs = []
    for held_out, split in ((False, "train"), (True, "test")):
        within = [p for p in photographs if p.held_out == held_out]
        sizes = Counter(p.scene or p.counterpart_of for p in within)
        for photograph in within:
            image, scene = data / "photos" / photograph.name, photograph.scene or photograph.counterpart_of
            counts[f"{scene or NO_SCENE}/{split}"] += 1
            sounds = [r for r in recordings if r.kind == scene and (r.fold == fold) == held_out]
            for recording in sounds:
                weight = 1.0 / (sizes[scene] * len(sounds))
                stretch = (0.0, lengths[recording.name])
                pairs.append(Pair(image, recording.path, *stretch, split, photograph.source, weight, str(scene)))
            if photograph.scene is None:
                pairs.append(Pair(image, None, 0.0, 0.0, split, photograph.source, 0.0, NO_SCENE))
            if scene is not None and not sounds:
                raise PairingError(f"the scene {scene!r} has photographs and no recording in the split {split!r}")
    write_index(pairs, output)
    return dict(counts)
