"""What stands in the sound's place: a keyword, a tagger's label, or an image that occurs with the sound."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.support.media import make_noise, make_tone
from tests.support.taggers import tone_is_bird
from tests.support.words import write_words
from training.config import TrainingConfig
from training.data.conditions import (
    STYLE_SIDE,
    ConditioningExample,
    ConditioningExamples,
    load_conditions,
    with_sources,
)
from training.data.dataset import SKIPPED, CoOccurrences
from training.data.index import read_index
from training.data.labels import label_sounds
from training.data.tagger import TaggerError
from training.data.word_vectors import WordsError, WordVectors
from training.presets import PRESETS

BIRD = "tests.support.taggers:tone_is_bird"
HEARD: list[int] = []


def counting() -> Callable[[NDArray[np.float32]], Mapping[str, float]]:
    """A tagger that notes what it was given."""
    tag = tone_is_bird()

    def count(waveform: NDArray[np.float32]) -> Mapping[str, float]:
        HEARD.append(len(waveform))
        return tag(waveform)

    return count


@pytest.fixture
def words(tmp_path: Path) -> Path:
    return write_words(tmp_path / "words.txt")


def told(kind: str, words: Path) -> TrainingConfig:
    """The smoke preset with the condition of another."""
    preset = {"keyword": "keyword", "label": "class-pred", "image": "adain"}[kind]
    config = dataclasses.replace(PRESETS["smoke"], condition=PRESETS[preset].condition)
    if kind == "image":
        return config
    return with_sources(config, str(words), BIRD if kind == "label" else None)


def drawn(config: TrainingConfig, index: Path) -> CoOccurrences:
    return CoOccurrences(index, "train", config.data, config.audio, 0, load_conditions(config, index))


# In training


def test_a_keyword_is_that_of_the_pair(index: Path, words: Path) -> None:
    config, vectors = told("keyword", words), WordVectors(str(words))
    dataset = drawn(config, index)
    wanted = {pair.scene: vectors[pair.scene] for pair in dataset.pairs}
    assert len(wanted) == 3
    for pair in dataset.pairs:
        assert dataset.conditions is not None
        found = dataset.conditions.of_draw(pair, pair.start, np.random.default_rng(0))
        assert torch.equal(found, wanted[pair.scene])
    seen = {tuple(dataset[draw, 32]["condition"].tolist()) for draw in range(20)}
    assert seen == {tuple(vector.tolist()) for vector in wanted.values()}


def test_a_label_is_what_the_tagger_calls_the_sound(index: Path, words: Path) -> None:
    config, vectors = told("label", words), WordVectors(str(words))
    dataset = drawn(config, index)
    assert dataset.conditions is not None
    for pair in dataset.pairs:
        found = dataset.conditions.of_draw(pair, pair.start, np.random.default_rng(0))
        assert torch.equal(found, vectors["Bird" if pair.scene == "summer" else "rain"]), pair.sound


def test_an_image_is_one_that_occurs_with_the_sound(index: Path, words: Path) -> None:
    dataset = drawn(told("image", words), index)
    assert dataset.conditions is not None
    summer = next(pair for pair in dataset.pairs if pair.scene == "summer")
    rng = np.random.default_rng(0)
    for _ in range(8):
        image = dataset.conditions.of_draw(summer, summer.start, rng)
        assert image.shape == (3, STYLE_SIDE, STYLE_SIDE)
        red, green, blue = image.mean(dim=(1, 2)).tolist()
        assert green > max(red, blue) + 0.2  # the green of summer, not the grey of rain or snow
    assert len({float(dataset.conditions.of_draw(summer, 0.0, rng).mean()) for _ in range(4)}) > 1


def test_the_condition_changes_nothing_else_of_a_draw(index: Path, words: Path) -> None:
    plain = PRESETS["smoke"]
    without = CoOccurrences(index, "train", plain.data, plain.audio, 0)[7, 32]
    for kind in ("keyword", "label", "image"):
        draw = drawn(told(kind, words), index)[7, 32]
        assert draw.keys() - without.keys() == {"condition"}
        assert all(torch.equal(draw[name], without[name]) for name in without if name != SKIPPED)


# The labels of an index


def test_a_recording_has_a_label_for_each_second_that_a_clip_may_begin_at(index: Path) -> None:
    pairs = [pair for pair in read_index(index, "train") if pair.sound is not None]
    labels = label_sounds(index, pairs, BIRD, 1.0)
    rain = next(pair for pair in pairs if pair.scene == "rain")
    assert {labels.at(rain, begin) for begin in (0.0, 0.4, 2.9, 3.0, 99.0)} == {"Rain"}
    assert labels.all() == ["Bird", "Rain"]
    stored = json.loads(index.with_suffix(".labels.json").read_text())["labels"]
    assert sorted(len(of_one) for of_one in stored.values()) == [4, 4, 4]  # 4 s each, clips of 1 s


def test_labels_are_found_once(index: Path) -> None:
    pairs = [pair for pair in read_index(index, "train") if pair.sound is not None]
    name = f"{__name__}:counting"
    first = label_sounds(index, pairs, name, 1.0)
    assert HEARD == [16_000] * 12
    again = label_sounds(index, pairs, name, 1.0)
    assert len(HEARD) == 12
    assert all(first.at(pair, 1.0) == again.at(pair, 1.0) for pair in pairs)
    label_sounds(index, pairs, name, 2.0)  # of other clips they are others
    assert len(HEARD) > 12


# Given sounds


def test_given_sounds_are_labelled_as_they_are(words: Path) -> None:
    config, vectors = told("label", words), WordVectors(str(words))
    conditions = load_conditions(config)
    assert conditions is not None
    sounds = torch.from_numpy(np.stack([make_noise(1.0), make_tone(1.0, 3000.0), 0.01 * make_tone(1.0, 2000.0)]))
    found = conditions.of_sounds(sounds.float(), None)
    assert torch.equal(found, torch.stack([vectors[name] for name in ("rain", "Bird", "Bird")]))


@pytest.mark.parametrize("kind", ["keyword", "image"])
def test_what_does_not_hear_needs_a_cue_for_each_sound(kind: str, words: Path) -> None:
    conditions = load_conditions(told(kind, words))
    assert conditions is not None
    for examples in (None, [ConditioningExample("rain")]):
        with pytest.raises(ValueError, match="needs an example"):
            conditions.of_sounds(torch.zeros(2, 16_000), examples)


def test_a_missing_style_image_is_named(words: Path) -> None:
    conditions = load_conditions(told("image", words))
    assert conditions is not None
    with pytest.raises(ValueError, match="nothing shows the style"):
        conditions.of_sounds(torch.zeros(1, 16_000), [ConditioningExample("rain")])


def test_a_cue_shows_what_occurs_with_the_sound_and_never_the_photograph_itself(index: Path) -> None:
    held_out, training = read_index(index, "test"), read_index(index, "train")
    examples, rng = ConditioningExamples(held_out, training), np.random.default_rng(0)
    for pair in held_out:
        if pair.sound is None:
            continue
        for _ in range(6):
            example = examples.draw(pair.sound, pair.scene, pair.image, rng)
            assert example.keyword == pair.scene
            assert example.image is not None
            assert example.image != pair.image
            assert example.image.parent.name == pair.scene


def test_a_scene_with_one_held_out_image_is_shown_by_a_training_image(index: Path) -> None:
    training = read_index(index, "train")
    only = next(pair for pair in read_index(index, "test") if pair.scene == "summer" and pair.sound is not None)
    example = ConditioningExamples([only], training).draw(only.sound, "summer", only.image, np.random.default_rng(0))
    assert example.image in {pair.image for pair in training if pair.scene == "summer"}
    assert ConditioningExamples([only]).draw(
        only.sound, "summer", only.image, np.random.default_rng(0)
    ) == ConditioningExample("summer")


# What they are made with


def test_what_a_preset_does_not_take_is_refused(words: Path) -> None:
    with pytest.raises(ValueError, match="takes no --word-vectors"):
        with_sources(PRESETS["adain"], str(words), None)
    with pytest.raises(ValueError, match="takes no --tagger"):
        with_sources(PRESETS["keyword"], str(words), BIRD)
    with pytest.raises(TaggerError, match="needs a tagger"):
        with_sources(PRESETS["class-pred"], str(words), "none")
    with pytest.raises(WordsError, match="no readable file"):
        with_sources(PRESETS["keyword"], "nowhere.bin", None)
    assert with_sources(PRESETS["paper"], None, None) == PRESETS["paper"]


def test_a_file_with_vectors_of_another_length_is_refused(words: Path) -> None:
    config = with_sources(PRESETS["keyword"], str(words), None)
    assert (config.condition.word_dim, config.condition.word_vectors) == (4, str(words))
    longer = dataclasses.replace(config, condition=dataclasses.replace(config.condition, word_dim=300))
    with pytest.raises(ValueError, match="have 4 numbers, where 300"):
        load_conditions(longer)


def test_a_scene_that_has_no_vector_is_found_before_training(index: Path, tmp_path: Path) -> None:
    path = tmp_path / "few.txt"
    path.write_text("1 2\nsnow 1 0\n")
    config = with_sources(dataclasses.replace(PRESETS["keyword"]), str(path), None)
    with pytest.raises(WordsError, match="'rain'"):
        load_conditions(config, index)
