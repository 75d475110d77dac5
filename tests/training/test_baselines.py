"""The paper's baselines: a word or an image conditions the generator in the place of the audio."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from export.__main__ import main as export
from tests.support.media import make_noise, make_tone
from tests.support.words import write_words
from tests.training.steps import SHRINK
from tests.training.test_ablations import small as small_preset
from tests.training.test_trainer import all_same
from training import checkpoint
from training.__main__ import main
from training.checkpoint import CheckpointError
from training.config import TrainingConfig
from training.data.conditions import ConditioningExample, with_sources
from training.data.index import read_index
from training.evaluation.evaluate import evaluate
from training.evaluation.inference import CheckpointModel
from training.evaluation.metrics.probe import train_probe
from training.start import Start
from training.trainer import train

BASELINES = ("keyword", "class-pred", "adain")
BIRD = "tests.support.taggers:tone_is_bird"


def small(name: str, words: Path, *settings: str) -> TrainingConfig:
    """The baseline with hardly any channels, and its words and labels."""
    given = {"keyword": (str(words), None), "class-pred": (str(words), BIRD), "adain": (None, None)}
    return with_sources(small_preset(name, "constant_share=1.0", *settings), *given[name])


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_words(tmp_path_factory.mktemp("words") / "words.txt")


@pytest.fixture(scope="module")
def trained(index: Path, words: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A baseline's checkpoint by its preset's name, trained when it is first asked for."""
    found: dict[str, Path] = {}

    def checkpoint_of(name: str) -> Path:
        if name not in found:
            found[name] = train(small(name, words), index, tmp_path_factory.mktemp(name))
        return found[name]

    return checkpoint_of


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_resumes_bit_for_bit(
    name: str, index: Path, words: Path, trained: Callable[[str], Path], tmp_path: Path
) -> None:
    train(small(name, words, "images=2"), index, tmp_path)
    parts = checkpoint.load(train(small(name, words), index, tmp_path, Start(force=True)))
    assert parts["images_seen"] == 4
    all_same(parts, checkpoint.load(trained(name)))


def test_another_condition_in_the_same_folder_is_refused(
    index: Path, words: Path, trained: Callable[[str], Path]
) -> None:
    with pytest.raises(CheckpointError, match="another condition configuration"):
        train(small("class-pred", words), index, trained("keyword").parent)


# What the generator does with it


def images(index: Path, scene: str) -> list[Path]:
    return sorted({pair.image for pair in read_index(index, "train") if pair.scene == scene})


def embedding(model: CheckpointModel, wave: torch.Tensor, example: ConditioningExample | None) -> torch.Tensor:
    assert model.conditions is not None
    condition = model.conditions.of_sounds(wave[None], None if example is None else [example])
    with torch.no_grad():
        return model.average.embed(wave[None], condition)[0]


@pytest.mark.parametrize("name", ["keyword", "adain"])
def test_another_keyword_or_frame_gives_another_result_of_the_same_audio(
    name: str, index: Path, trained: Callable[[str], Path]
) -> None:
    model = CheckpointModel(trained(name))
    content = model.encode(torch.rand(1, 3, 32, 32) * 2 - 1)
    clips = torch.from_numpy(make_noise(1.0)).float().repeat(2, 1)
    snow, rain = (ConditioningExample(scene, images(index, scene)[0]) for scene in ("snow", "rain"))
    first, second = model.decode(content, clips, [snow, rain])
    again, third = model.decode(content, clips, [snow, snow])
    assert torch.allclose(again, third, atol=1e-6)  # a batch's places are summed in other orders
    assert (first - second).abs().mean() > 100 * (again - third).abs().mean()
    assert not torch.equal(first, second)


def test_other_audio_of_the_same_label_gives_the_same_embedding(trained: Callable[[str], Path]) -> None:
    model = CheckpointModel(trained("class-pred"))
    noise, other = (torch.from_numpy(make_noise(1.0, seed=seed)).float() for seed in (1, 2))
    bird = torch.from_numpy(make_tone(1.0, 3000.0)).float()
    found = [embedding(model, wave, None) for wave in (noise, other, bird)]
    assert torch.equal(found[0], found[1])
    assert not torch.allclose(found[0], found[2], atol=1e-2)


def test_adain_takes_the_statistics_of_the_style_image(index: Path, trained: Callable[[str], Path]) -> None:
    model, wave = CheckpointModel(trained("adain")), torch.zeros(16_000)
    found = embedding(model, wave, ConditioningExample("rain", images(index, "rain")[0]))
    assert found.shape == (2 * 4 * model.config.generator.width,)  # type: ignore[attr-defined]
    assert (found[len(found) // 2 :] >= 0).all()


# Around them


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_is_evaluated_beside_the_controls(
    name: str, index: Path, trained: Callable[[str], Path], tmp_path: Path
) -> None:
    beside = index.with_suffix(".probe.pt")
    if not beside.exists():
        probe = train_probe(read_index(index, "train"), ["rain", "snow", "summer"], epochs=2)
        checkpoint.save(beside, {"networks": probe.state_dict()})
        os.utime(beside, (index.stat().st_mtime + 10,) * 2)  # younger than the index, so it is used
    found = evaluate([trained(name)], index, tmp_path, pictures=2, size=32)
    row = next(values for title, values in found.items() if title.startswith(f"{name}, 4 images"))
    assert {"right scene", "gain-monotone", "silence /255", "mix-monotone", "swap effect /255"} <= set(row)


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_is_no_bundle(
    name: str, trained: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export([str(trained(name)), str(tmp_path / "bundle")]) == 2
    said = capsys.readouterr().err
    assert f"preset '{name}'" in said
    assert "not exported" in said
    assert not (tmp_path / "bundle").exists()


def test_the_command_trains_with_the_named_words_and_tagger(index: Path, words: Path, tmp_path: Path) -> None:
    settings = [part for setting in SHRINK["paper"] for part in ("--set", setting)]
    command = ["train", "--preset", "class-pred", "--index", str(index), "--run", str(tmp_path), "--images", "2"]
    command += ["--batch", "2", "--set", "data.crops=[[0.0, 32]]", *settings]
    assert main([*command, "--word-vectors", str(words), "--tagger", BIRD]) == 0
    condition = checkpoint.config_of(checkpoint.load(tmp_path / "checkpoint.pt")).condition
    assert (condition.word_vectors, condition.tagger, condition.word_dim) == (str(words), BIRD, 4)


@pytest.mark.parametrize(
    ("preset", "options", "said"),
    [
        ("keyword", ["--word-vectors", "nowhere.txt"], "nowhere.txt"),
        ("class-pred", ["--word-vectors", "WORDS", "--tagger", "none"], "needs a tagger"),
        ("class-pred", ["--word-vectors", "WORDS", "--tagger", "no:such"], "no tagger"),
        ("paper", ["--word-vectors", "WORDS"], "takes no --word-vectors"),
        ("keyword", ["--word-vectors", "WORDS", "--tagger", BIRD], "takes no --tagger"),
    ],
)
def test_bad_sources_end_with_2(
    preset: str,
    options: list[str],
    said: str,
    index: Path,
    words: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    filled = [str(words) if option == "WORDS" else option for option in options]
    assert main(["train", "--preset", preset, "--index", str(index), "--run", str(tmp_path / "run"), *filled]) == 2
    assert said in capsys.readouterr().err
