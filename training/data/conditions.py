"""Where the words and images come from that tell the generator a look in the sound's place, drawn or given."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import torchaudio.functional as AF
from torch import Tensor

from training.config import TrainingConfig
from training.data import media
from training.data.index import Pair, read_index
from training.data.labels import TAGGED_AT_HZ, Labels, label_of, label_sounds, labelling_tagger
from training.data.views import random_view
from training.data.word_vectors import WordVectors

SOURCES = {"keyword": ("word_vectors",), "label": ("word_vectors", "tagger")}  # what a condition is made with
STYLE_SIDE = 128  # pixels of a style image: what the correspondence net sees, too


@dataclass(frozen=True)
class ConditioningExample:
    """What is known beside a driving sound: its keyword, and an image that occurs with it."""

    keyword: str
    image: Path | None = None


class ConditionProvider(Protocol):
    """What stands in the sound's place, as tensors for `training.models.conditioner`."""

    def of_draw(self, pair: Pair, begin_seconds: float, rng: np.random.Generator) -> Tensor:
        """For a training pair whose clip begins there."""

    def of_sounds(self, waveforms: Tensor, cues: Sequence[ConditioningExample] | None) -> Tensor:
        """For given sounds [B, N] and a cue for each: [B, ...]. Raises ValueError where a cue is needed and missing."""


class Keywords:
    """The vector of the scene's name, in an index of videos their title keyword: [D]."""

    def __init__(self, words: WordVectors, pairs: Iterable[Pair]) -> None:
        self.words = words
        for keyword in sorted({pair.scene for pair in pairs}):
            words[keyword]  # what has no vector is found out now

    def of_draw(self, pair: Pair, begin_seconds: float, rng: np.random.Generator) -> Tensor:
        return self.words[pair.scene]

    def of_sounds(self, waveforms: Tensor, cues: Sequence[ConditioningExample] | None) -> Tensor:
        return torch.stack([self.words[example.keyword] for example in _one_each(cues, waveforms)]).to(waveforms.device)


class PredictedLabels:
    """The vector of the name that a tagger gives the sound: [D].

    Training takes the labels of the index's recordings; a given sound is labelled as it is, mixed, softened or silent.
    """

    def __init__(self, words: WordVectors, labels: Labels | None, tagger: str, sample_rate_hz: int) -> None:
        self.words, self.labels, self.tagger, self.rate = words, labels, tagger, sample_rate_hz
        for label in labels.all() if labels else ():
            words[label]

    def of_draw(self, pair: Pair, begin_seconds: float, rng: np.random.Generator) -> Tensor:
        assert self.labels is not None, "made for given sounds alone"
        return self.words[self.labels.at(pair, begin_seconds)]

    def of_sounds(self, waveforms: Tensor, cues: Sequence[ConditioningExample] | None) -> Tensor:
        heard = AF.resample(waveforms.cpu(), self.rate, TAGGED_AT_HZ)
        vectors = [self.words[label_of(self.tagger, waveform)] for waveform in heard]
        return torch.stack(vectors).to(waveforms.device)


class StyleImages:
    """A random image that occurs with the sound (a frame of its clip): [3, STYLE_SIDE, STYLE_SIDE] in [-1, 1]."""

    def __init__(self, pairs: Iterable[Pair], zoom: tuple[float, float]) -> None:
        self.zoom = zoom
        self.by_sound: dict[Path | None, list[Pair]] = defaultdict(list)
        for pair in pairs:
            self.by_sound[pair.sound].append(pair)

    def of_draw(self, pair: Pair, begin_seconds: float, rng: np.random.Generator) -> Tensor:
        pairs = self.by_sound[pair.sound]
        style = pairs[int(rng.integers(len(pairs)))]
        return random_view(style.image, STYLE_SIDE, self.zoom, rng, style.max_red)

    def of_sounds(self, waveforms: Tensor, cues: Sequence[ConditioningExample] | None) -> Tensor:
        images = [example.image for example in _one_each(cues, waveforms)]
        if None in images:
            raise ValueError("no image but the photograph itself occurs with the sound: nothing shows the style")
        squares = [media.square(image, STYLE_SIDE) for image in images if image is not None]
        return torch.stack(squares).to(waveforms.device)


def load_conditions(config: TrainingConfig, index: Path | None = None) -> ConditionProvider | None:
    """What the preset needs in the sound's place; None where it needs nothing.

    index: what training draws from; without it for given sounds alone. Raises WordsError, TaggerError, PairingError.
    """
    condition, audio = config.condition, config.audio
    if condition.kind == "audio":
        return None
    pairs = [] if index is None else [pair for pair in read_index(index, "train") if pair.sound is not None]
    if condition.kind == "image":
        return StyleImages(pairs, config.data.zoom)
    words = WordVectors(condition.word_vectors)
    if words.dim != condition.word_dim:
        raise ValueError(f"the word vectors have {words.dim} numbers, where {condition.word_dim} were expected")
    if condition.kind == "keyword":
        return Keywords(words, pairs)
    labelling_tagger(condition.tagger)
    labels = None if index is None else label_sounds(index, pairs, condition.tagger, audio.clip_seconds)
    return PredictedLabels(words, labels, condition.tagger, audio.sample_rate_hz)


def with_sources(config: TrainingConfig, word_vectors: str | None, tagger: str | None) -> TrainingConfig:
    """The configuration with the word vectors and the tagger that were named, where its preset needs them.

    None: the preset's own. Raises WordsError and TaggerError for what cannot be had, ValueError for what is not needed.
    """
    condition = config.condition
    for option, name in (("word_vectors", word_vectors), ("tagger", tagger)):
        if name is not None and option not in SOURCES.get(condition.kind, ()):
            raise ValueError(f"the preset {config.preset!r} takes no --{option.replace('_', '-')}")
    if condition.kind in SOURCES:
        name = word_vectors or condition.word_vectors
        name = str(Path(name).resolve()) if Path(name).is_file() else name
        condition = dataclasses.replace(condition, word_vectors=name, word_dim=WordVectors(name).dim)
    if condition.kind == "label":
        condition = dataclasses.replace(condition, tagger=labelling_tagger(tagger or condition.tagger))
    return dataclasses.replace(config, condition=condition)


class ConditioningExamples:
    """Draws what occurs with given sounds: of the held-out images those of the sound itself, if there are any."""

    def __init__(self, held_out: Iterable[Pair], training: Iterable[Pair] = ()) -> None:
        self._by_sound: dict[Path | None, set[Path]] = defaultdict(set)
        self._by_scene: dict[str, set[Path]] = defaultdict(set)
        for pair in held_out:
            if pair.sound is not None:
                self._by_sound[pair.sound].add(pair.image)
        for pair in training:
            self._by_scene[pair.scene].add(pair.image)

    def draw(self, sound: Path | None, scene: str, content: Path, rng: np.random.Generator) -> ConditioningExample:
        """The scene's name, and an image that occurs with the sound, else one of the scene; never `content` itself."""
        images = sorted(self._by_sound[sound] - {content}) or sorted(self._by_scene[scene] - {content})
        return ConditioningExample(scene, images[int(rng.integers(len(images)))] if images else None)


def _one_each(cues: Sequence[ConditioningExample] | None, waveforms: Tensor) -> Sequence[ConditioningExample]:
    if cues is None or len(cues) != len(waveforms):
        raise ValueError("this preset is not conditioned on audio: each clip needs an example, a keyword and an image")
    return cues
