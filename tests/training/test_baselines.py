"""The presets of the paper's baselines differ from `default` in what tells the generator the look, and train alike."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from export.__main__ import main as export
from tests.support.media import make_noise, make_tone
from tests.support.words import write_words
from tests.training.test_ablations import settings
from tests.training.test_loop import constant, same
from training import checkpoint
from training.__main__ import main
from training.checkpoint import CheckpointError
from training.config import TrainingConfig
from training.data.conditions import Cue, with_sources
from training.data.index import read_index
from training.evaluation.evaluate import evaluate
from training.evaluation.inference import Stylizer
from training.evaluation.metrics.probe import train_probe
from training.presets import PRESETS
from training.trainer import train

BASELINES = ("keyword", "class-pred", "adain")
BIRD = "tests.support.taggers:tone_is_bird"
SHIPPED = Path(__file__).parents[2] / "models" / "demo" / "checkpoint.pt"


def small(name: str, words: Path) -> TrainingConfig:
    """The whole of `smoke`, told what the baseline is told."""
    config = constant(PRESETS["smoke"], preset=name, images=4, bf16=False, condition=PRESETS[name].condition)
    given = {"keyword": (str(words), None), "class-pred": (str(words), BIRD), "adain": (None, None)}
    return with_sources(config, *given[name])


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
def test_a_baseline_is_the_default_but_for_what_is_told(name: str) -> None:
    different = settings(PRESETS[name]) ^ settings(PRESETS["default"])
    assert {key for key, _ in different} == {"preset", "condition.kind"}


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_resumes_bit_for_bit(
    name: str, index: Path, words: Path, trained: Callable[[str], Path], tmp_path: Path
) -> None:
    config = small(name, words)
    train(dataclasses.replace(config, images=2), index, tmp_path)
    parts, whole = checkpoint.load(train(config, index, tmp_path)), checkpoint.load(trained(name))
    assert parts["images_seen"] == whole["images_seen"] == 4
    for part in ("networks", "ema", "optimizers"):
        assert same(parts[part], whole[part])


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_learns_what_to_make_of_what_it_is_told(name: str, trained: Callable[[str], Path]) -> None:
    values = checkpoint.load(trained(name))
    learned = values["networks"]["conditioner.map.weight"]
    assert learned.shape[0] == PRESETS["smoke"].audio.embedding_dim
    assert not torch.equal(learned, values["ema"]["conditioner.map.weight"])  # it has moved, and its average lags


def test_another_condition_in_the_same_folder_is_refused(
    index: Path, words: Path, trained: Callable[[str], Path]
) -> None:
    with pytest.raises(CheckpointError, match="another condition configuration"):
        train(small("class-pred", words), index, trained("keyword").parent)


# What the generator does with it


def told(model: Stylizer, wave: torch.Tensor, cue: Cue | None) -> torch.Tensor:
    condition = None if model.conditions is None else model.conditions.of_sounds(wave[None], cue and [cue])
    with torch.no_grad():
        return model.average.embed(wave[None], condition)[0]


def strong(path: Path) -> Stylizer:
    """A model whose last layer, which begins near zero, draws something."""
    model = Stylizer(path)
    torch.manual_seed(0)
    torch.nn.init.normal_(model.average.generator.decoder.head.weight, std=0.5)
    return model


def pictures(index: Path, scene: str) -> list[Path]:
    return sorted({pair.image for pair in read_index(index, "train") if pair.scene == scene})


@pytest.mark.parametrize("name", ["keyword", "adain"])
def test_another_keyword_or_frame_gives_another_picture_of_the_same_sound(
    name: str, index: Path, trained: Callable[[str], Path]
) -> None:
    model = strong(trained(name))
    content = model.encode(torch.rand(1, 3, 32, 32) * 2 - 1)
    sounds = torch.from_numpy(make_noise(1.0)).float().repeat(2, 1)
    snow, rain = Cue("snow", pictures(index, "snow")[0]), Cue("rain", pictures(index, "rain")[0])
    first, second = model.decode(content, sounds, [snow, rain])
    assert (first - second).abs().mean() > 1e-3
    again, third = model.decode(content, sounds, [snow, snow])
    assert torch.allclose(again, third, atol=1e-5)  # a batch's places are summed in other orders


def test_another_sound_of_the_same_label_gives_the_same_direction(trained: Callable[[str], Path]) -> None:
    model = strong(trained("class-pred"))
    noise, other = (torch.from_numpy(make_noise(1.0, seed=seed)).float() for seed in (1, 2))
    bird = torch.from_numpy(make_tone(1.0, 3000.0)).float()
    embeddings = [torch.nn.functional.normalize(told(model, wave, None), dim=0) for wave in (noise, other, bird)]
    assert torch.allclose(embeddings[0], embeddings[1], atol=1e-6)
    assert not torch.allclose(embeddings[0], embeddings[2], atol=1e-2)
    content = model.encode(torch.rand(1, 3, 32, 32) * 2 - 1)
    first, second = model.decode(content, torch.stack([noise, bird]))
    assert (first - second).abs().mean() > 1e-3


@pytest.mark.parametrize("name", BASELINES)
def test_the_length_is_the_loudness_of_the_sound(name: str, index: Path, trained: Callable[[str], Path]) -> None:
    model, wave = Stylizer(trained(name)), torch.from_numpy(make_noise(1.0, rms=0.1)).float()
    cue = Cue("rain", pictures(index, "rain")[0])
    lengths = []
    for gain in (1.0, 0.1, 0.01, 0.0):
        embedding = told(model, wave * gain, cue)
        with torch.no_grad():
            heard = model.average.audio_encoder(wave[None] * gain)[0]
        assert embedding.norm().item() == pytest.approx(heard.norm().item(), rel=1e-4)
        lengths.append(embedding.norm().item())
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] > 0.95
    assert lengths[-1] < 0.01


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
    row = next(values for title, values in found.items() if title.startswith(f"{name}, 4 pictures"))
    assert {"right scene", "avc_own", "gain-monotone", "silence /255", "mix-monotone", "swap effect /255"} <= set(row)


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_is_no_bundle(
    name: str, trained: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export([str(trained(name)), str(tmp_path / "bundle")]) == 2
    said = capsys.readouterr().err
    assert f"preset '{name}'" in said
    assert "not exported" in said
    assert not (tmp_path / "bundle").exists()


def test_the_command_trains_with_the_named_words_and_tagger(
    index: Path, words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = dataclasses.replace(PRESETS["smoke"], preset="class-pred", condition=PRESETS["class-pred"].condition)
    monkeypatch.setitem(PRESETS, "class-pred", config)  # type: ignore[arg-type]
    command = ["train", "--preset", "class-pred", "--index", str(index), "--run", str(tmp_path), "--images", "2"]
    assert main([*command, "--word-vectors", str(words), "--tagger", BIRD]) == 0
    condition = checkpoint.config_of(checkpoint.load(tmp_path / "checkpoint.pt")).condition
    assert (condition.word_vectors, condition.tagger, condition.word_dim) == (str(words), BIRD, 4)


@pytest.mark.parametrize(
    ("preset", "options", "said"),
    [
        ("keyword", ["--word-vectors", "nowhere.txt"], "nowhere.txt"),
        ("class-pred", ["--word-vectors", "WORDS", "--tagger", "none"], "needs a tagger"),
        ("class-pred", ["--word-vectors", "WORDS", "--tagger", "no:such"], "no tagger"),
        ("default", ["--word-vectors", "WORDS"], "takes no --word-vectors"),
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


def test_the_shipped_checkpoint_is_told_its_sound_as_before() -> None:
    model = Stylizer(SHIPPED)
    assert model.config.condition.kind == "sound"
    wave = torch.from_numpy(make_noise(model.config.audio.clip_seconds)).float()
    with torch.no_grad():
        assert torch.equal(told(model, wave, None), model.average.audio_encoder(wave[None])[0])
