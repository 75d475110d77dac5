"""A run resumes exactly, refuses other settings, keeps log and samples, begins with another's weights."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from training import checkpoint
from training.config import TrainingConfig
from training.loss_meter import LossMeter
from training.presets import PRESETS, with_settings
from training.stages.stage import DivergedError, falling_rate
from training.start import Start
from training.trainer import train

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 240


def constant(config: TrainingConfig, *settings: str) -> TrainingConfig:
    """A run whose schedule does not depend on its length."""
    return with_settings(config, ["data.crops=[[0.0, 32]]", "constant_share=1.0", "sample_images=1000000", *settings])


def same(first: Any, second: Any) -> bool:
    """Equal to the last bit, however nested."""
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[k], second[k]) for k in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    return bool(first == second)


def all_same(first: dict[str, Any], second: dict[str, Any]) -> None:
    for name in ("networks", "ema", "stage", "images_seen"):
        assert same(first[name], second[name]), name


@pytest.mark.parametrize(("preset", "slices"), [("smoke", 1), ("smoke", 2), ("smoke-scene", 1)])
def test_a_resumed_run_equals_an_uninterrupted_one(
    preset: str, slices: int, index: Path, scene_audio: Path, tmp_path: Path
) -> None:
    config = constant(PRESETS[preset], f"accumulate={slices}", "images=8")
    start = Start(audio_weights=scene_audio if preset == "smoke-scene" else None)
    whole = checkpoint.load(train(config, index, tmp_path / "whole", start))
    train(dataclasses.replace(config, images=4), index, tmp_path / "parts", start)
    parts = checkpoint.load(train(config, index, tmp_path / "parts", Start(force=True)))
    assert whole["images_seen"] == 8
    all_same(whole, parts)


RUN_AND_SAVE_ALWAYS = """
import sys, torch
from pathlib import Path
from training.presets import PRESETS, with_settings
from training.trainer import train
torch.set_num_threads(1)
index, run, *settings = sys.argv[1:]
train(with_settings(PRESETS["smoke"], settings), Path(index), Path(run))
"""


def test_a_killed_run_goes_on_where_it_was(index: Path, tmp_path: Path, smoke: TrainingConfig) -> None:
    settings = ["images=32", "checkpoint_seconds=0.0", "sample_images=1000000"]
    config = with_settings(smoke, settings)
    whole = checkpoint.load(train(config, index, tmp_path / "whole"))
    command = [sys.executable, "-c", RUN_AND_SAVE_ALWAYS, str(index), str(tmp_path / "killed"), *settings]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    path, seen, deadline = tmp_path / "killed" / "checkpoint.pt", 0, time.monotonic() + PATIENCE_SECONDS
    while seen < 4 and process.poll() is None and time.monotonic() < deadline:
        seen = checkpoint.load(path)["images_seen"] if path.exists() else 0
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert 0 < checkpoint.load(path)["images_seen"] < 32  # whole, and in the middle of the run
    all_same(whole, checkpoint.load(train(config, index, tmp_path / "killed")))


def test_a_run_that_stopped_in_its_first_stage_goes_on_there(index: Path, tmp_path: Path) -> None:
    settings = ("images=2", "checkpoint_seconds=0.0", "keep=100", "pretraining.steps=4", "pretraining.batch=4")
    config = constant(PRESETS["smoke"], *settings)
    whole = checkpoint.load(train(config, index, tmp_path / "run"))
    kept = sorted((tmp_path / "run" / "checkpoints").iterdir())
    (tmp_path / "again").mkdir()
    for early in kept[1:3]:
        assert checkpoint.load(early)["progress"]["stage"] == "audio-visual pre-training"
        again = train(config, index, tmp_path / "again" / early.stem, Start(resume_from=early))
        all_same(whole, checkpoint.load(again))


def test_a_finished_run_is_left_as_it_is(index: Path, finished_run: Path) -> None:
    before = checkpoint.load(finished_run)
    config = checkpoint.config_of(before)
    all_same(before, checkpoint.load(train(config, index, finished_run.parent)))


# What may not change


@pytest.mark.parametrize("setting", ["generator.width=8", "audio.embedding_dim=16", "discriminator.fusion=late"])
def test_another_architecture_in_the_same_folder_is_refused_even_by_force(
    setting: str, index: Path, finished_run: Path
) -> None:
    config = checkpoint.config_of(checkpoint.load(finished_run))
    with pytest.raises(checkpoint.CheckpointError, match=r"begun with another .* configuration"):
        train(with_settings(config, [setting]), index, finished_run.parent, Start(force=True))


@pytest.mark.parametrize("setting", ["batch=4", "images=16", "learning_rate=0.1", "losses.nce=0.2"])
def test_another_batch_schedule_or_weight_is_refused_in_words(setting: str, index: Path, finished_run: Path) -> None:
    config = checkpoint.config_of(checkpoint.load(finished_run))
    name = setting.partition("=")[0]
    with pytest.raises(checkpoint.CheckpointError, match=rf"{name} was .* and is .*--force"):
        train(with_settings(config, [setting]), index, finished_run.parent)


def test_another_index_is_refused_unless_by_force(index: Path, tmp_path: Path, smoke: TrainingConfig) -> None:
    config = constant(smoke, "images=2")
    train(config, index, tmp_path / "run")
    other = index.with_name("other.jsonl")
    other.write_text("\n" + index.read_text())
    with pytest.raises(checkpoint.CheckpointError, match="the index is another"):
        train(config, other, tmp_path / "run")
    train(config, other, tmp_path / "run", Start(force=True))


def test_workers_and_checkpoints_may_change(index: Path, finished_run: Path, tmp_path: Path) -> None:
    config = checkpoint.config_of(checkpoint.load(finished_run))
    shutil.copytree(finished_run.parent, tmp_path / "run")  # the others' run stays as it is
    train(with_settings(config, ["data.workers=1", "keep=3", "sample_images=7"]), index, tmp_path / "run")


# What a run leaves behind


def test_a_log_curves_and_a_record_are_written(index: Path, tmp_path: Path, smoke: TrainingConfig) -> None:
    train(constant(smoke, "images=40"), index, tmp_path)  # the log says something every 20 steps
    lines = [json.loads(text) for text in (tmp_path / "log.jsonl").read_text().splitlines()]
    line = lines[-1]
    assert (line["stage"], line["step"], line["images"]) == ("adversarial training", 20, 40)
    assert line["images_per_second"] > 0
    assert {"generator/nce", "discriminator/patch", "gradient/generator", "waiting_share"} <= set(line)
    assert any((tmp_path / "tensorboard").iterdir())
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["config"]["images"] == 40
    assert len(record["index"]["sha256"]) == 64
    assert record["versions"]["torch"] == torch.__version__
    assert record["precision"].split()[0] in ("fp32", "bf16")


def test_the_newest_checkpoints_are_kept_and_can_be_resumed_from(
    index: Path, tmp_path: Path, smoke: TrainingConfig
) -> None:
    config = constant(smoke, "images=8", "keep=2", "checkpoint_seconds=0.0")
    whole = checkpoint.load(train(config, index, tmp_path))
    kept = sorted((tmp_path / "checkpoints").iterdir())
    assert [path.name for path in kept] == ["00000006.pt", "00000007.pt"]  # 3 steps of pre-training, 4 of training
    assert (tmp_path / "checkpoint.pt").samefile(kept[-1])
    again = train(config, index, tmp_path / "again", Start(resume_from=kept[0]))
    all_same(whole, checkpoint.load(again))


def test_sample_sheets_show_held_out_images(finished_run: Path) -> None:
    sheets = sorted((finished_run.parent / "samples").iterdir())
    assert [s.name for s in sheets] == ["0000004.png", "0000008.png"]
    sheet = np.asarray(Image.open(sheets[-1]))
    side = 128  # twice the largest crop
    rows, columns = sheet.shape[0] // side, sheet.shape[1] // side
    assert columns == 1 + 3 + 1  # as it is, three scenes, one of them softer
    assert 1 <= rows <= 8
    assert sheet.std() > 1


def test_a_time_budget_lays_the_whole_schedule_out(index: Path, tmp_path: Path, smoke: TrainingConfig) -> None:
    config = constant(smoke, "time_budget_minutes=0.1", "images=0", "constant_share=0.6")
    began = time.monotonic()
    values = checkpoint.load(train(config, index, tmp_path))
    assert time.monotonic() - began < PATIENCE_SECONDS
    seconds = values["progress"]["seconds"]
    assert set(seconds) == {"audio-visual pre-training", "adversarial training"}
    assert sum(seconds.values()) >= 0.9 * 6
    rate = values["stage"]["optimizers"]["generator"]["param_groups"][0]["lr"]
    assert rate < 0.5 * config.learning_rate  # it has fallen with the time
    again = checkpoint.load(train(config, index, tmp_path))  # nothing is left of the budget
    assert again["progress"]["steps"] == values["progress"]["steps"]


# Beginning with another's weights


def test_fine_tuning_begins_with_the_averaged_weights(
    index: Path, finished_run: Path, tmp_path: Path, smoke: TrainingConfig
) -> None:
    values = checkpoint.load(finished_run)
    checkpoint.save(tmp_path / "slim.pt", checkpoint.slim(values))
    still = constant(smoke, "images=2", "learning_rate=0.0", "discriminator_learning_rate=0.0")
    tuned = checkpoint.load(train(still, index, tmp_path / "tuned", Start(weights=tmp_path / "slim.pt")))
    assert "audio-visual pre-training" not in tuned["progress"]["steps"]
    for name, average in values["ema"].items():
        if name.startswith("generator.") and average.is_floating_point():
            assert torch.equal(tuned["ema"][name], average.half().float()), name


def test_fine_tuning_from_another_architecture_is_refused(
    index: Path, finished_run: Path, tmp_path: Path, smoke: TrainingConfig
) -> None:
    with pytest.raises(checkpoint.CheckpointError, match="does not fit"):
        train(with_settings(smoke, ["generator.width=8"]), index, tmp_path, Start(weights=finished_run))


def test_a_batch_that_does_not_divide_into_slices_is_refused(
    index: Path, tmp_path: Path, smoke: TrainingConfig
) -> None:
    with pytest.raises(ValueError, match="a batch of 2 cannot be shared by 1 processes in 3 equal slices"):
        train(with_settings(smoke, ["accumulate=3"]), index, tmp_path)


# Schedules and losses


def test_the_rate_is_constant_and_then_falls_to_zero() -> None:
    rates = [falling_rate(2.0, 0.6, share) for share in (0.0, 0.6, 0.8, 1.0)]
    assert rates == [2.0, 2.0, pytest.approx(1.0), pytest.approx(0.0, abs=1e-12)]


def test_losses_are_means_over_the_steps_since_they_were_fetched() -> None:
    meter = LossMeter(torch.device("cpu"))
    for step, value in enumerate((1.0, 3.0)):
        meter.add({"a": torch.tensor(value), **({"rare": torch.tensor(7.0)} if step else {})}, step)
    assert meter.fetch(1e6) == {"a": 2.0, "rare": 7.0}
    assert meter.fetched == 2
    assert meter.fetch(1e6) == {}


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        ({"generator/nce": float("nan")}, "step 4: generator/nce is nan; lower the learning rate"),
        ({"gradient/generator": 2e6}, "step 4: the norm of gradient/generator is 2e\\+06: the run diverged"),
        ({"gradient/generator": float("inf")}, "step 4: gradient/generator is inf"),
    ],
)
def test_a_run_that_diverged_says_where(losses: dict[str, float], message: str) -> None:
    meter = LossMeter(torch.device("cpu"))
    meter.add({name: torch.tensor(value) for name, value in losses.items()}, 4)
    with pytest.raises(DivergedError, match=message):
        meter.check(1e6, eager=True)
