"""A run resumes exactly, keeps its log and samples, and starts from another's weights if asked."""

from __future__ import annotations

import dataclasses
import json
import os
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
from training.presets import PRESETS
from training.trainer import train

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 240


def constant(config: TrainingConfig, **changes: Any) -> TrainingConfig:
    """A run whose schedule does not depend on its length."""
    data = dataclasses.replace(config.data, crops=((0.0, 32),))
    return dataclasses.replace(config, data=data, constant_share=1.0, sample_images=10**6, **changes)


def same(first: Any, second: Any) -> bool:
    """Equal to the last bit, however nested."""
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[k], second[k]) for k in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    return bool(first == second)


@pytest.mark.parametrize("slices", [1, 2])
def test_a_resumed_run_equals_an_uninterrupted_one(
    slices: int, index: Path, tmp_path: Path, smoke: TrainingConfig
) -> None:
    smoke = dataclasses.replace(smoke, accumulate=slices)
    whole = checkpoint.load(train(constant(smoke, images=8), index, tmp_path / "whole"))
    train(constant(smoke, images=4), index, tmp_path / "parts")
    parts = checkpoint.load(train(constant(smoke, images=8), index, tmp_path / "parts"))
    assert whole["images_seen"] == parts["images_seen"] == 8
    for name in ("networks", "ema", "optimizers"):
        assert same(whole[name], parts[name])


RUN_AND_SAVE_ALWAYS = """
import dataclasses, sys, torch
from pathlib import Path
from training.presets import PRESETS
from training.trainer import train
torch.set_num_threads(1)
index, run = map(Path, sys.argv[1:])
train(dataclasses.replace(PRESETS["smoke"], images=32, checkpoint_seconds=0.0, sample_images=10**6), index, run)
"""


def test_a_killed_run_goes_on_where_it_was(index: Path, tmp_path: Path, smoke: TrainingConfig) -> None:
    config = dataclasses.replace(smoke, images=32, checkpoint_seconds=0.0, sample_images=10**6)
    whole = checkpoint.load(train(config, index, tmp_path / "whole"))
    command = [sys.executable, "-c", RUN_AND_SAVE_ALWAYS, str(index), str(tmp_path / "killed")]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    path, seen, deadline = tmp_path / "killed" / "checkpoint.pt", 0, time.monotonic() + PATIENCE_SECONDS
    while seen < 4 and process.poll() is None and time.monotonic() < deadline:
        seen = checkpoint.load(path)["images_seen"] if path.exists() else 0
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert 0 < checkpoint.load(path)["images_seen"] < 32  # whole, and in the middle of the run
    resumed = checkpoint.load(train(config, index, tmp_path / "killed"))
    for name in ("networks", "ema", "optimizers"):
        assert same(whole[name], resumed[name])


def test_a_finished_run_is_left_as_it_is(index: Path, finished_run: Path) -> None:
    before = checkpoint.load(finished_run)
    config = checkpoint.config_of(before)
    after = checkpoint.load(train(config, index, finished_run.parent))
    assert same(before, after)


def test_another_architecture_in_the_same_folder_is_refused(index: Path, finished_run: Path) -> None:
    config = checkpoint.config_of(checkpoint.load(finished_run))
    wider = dataclasses.replace(config, generator=dataclasses.replace(config.generator, width=8))
    with pytest.raises(checkpoint.CheckpointError, match="another generator configuration"):
        train(wider, index, finished_run.parent)


def test_a_log_and_scalars_are_written(index: Path, tmp_path: Path, smoke: TrainingConfig) -> None:
    train(constant(smoke, images=40), index, tmp_path)  # the log says something every 20 steps
    (line,) = (json.loads(text) for text in (tmp_path / "log.jsonl").read_text().splitlines())
    assert line["images"] == 40
    assert line["images_per_second"] > 0
    assert {"generator/nce", "discriminator/patch", "gradient/generator"} <= set(line)
    assert any((tmp_path / "tensorboard").iterdir())


def test_sample_sheets_show_held_out_photographs(finished_run: Path) -> None:
    sheets = sorted((finished_run.parent / "samples").iterdir())
    assert [s.name for s in sheets] == ["0000004.png", "0000008.png"]
    sheet = np.asarray(Image.open(sheets[-1]))
    side = 128  # twice the largest crop
    rows, columns = sheet.shape[0] // side, sheet.shape[1] // side
    assert columns == 1 + 3 + 1  # as it is, three scenes, one of them softer
    assert 1 <= rows <= 8
    assert sheet.std() > 1


def test_fine_tuning_begins_with_the_averaged_weights(
    index: Path, finished_run: Path, tmp_path: Path, smoke: TrainingConfig
) -> None:
    values = checkpoint.load(finished_run)
    checkpoint.save(tmp_path / "slim.pt", checkpoint.slim(values))
    still = constant(smoke, images=2, learning_rate=0.0, discriminator_learning_rate=0.0)
    tuned = checkpoint.load(train(still, index, tmp_path / "tuned", start_from=tmp_path / "slim.pt"))
    for name, average in values["ema"].items():
        if average.is_floating_point() and ".norm." not in name:  # the norms go on with the pictures that pass
            assert torch.equal(tuned["ema"][name], average.half().float()), name


def test_fine_tuning_from_another_architecture_is_refused(
    index: Path, finished_run: Path, tmp_path: Path, smoke: TrainingConfig
) -> None:
    wider = dataclasses.replace(smoke, generator=dataclasses.replace(smoke.generator, width=8))
    with pytest.raises(checkpoint.CheckpointError, match="does not fit"):
        train(wider, index, tmp_path, start_from=finished_run)


def test_a_batch_that_does_not_divide_into_slices_is_refused(
    index: Path, tmp_path: Path, smoke: TrainingConfig
) -> None:
    with pytest.raises(ValueError, match="a batch of 2 cannot be shared by 1 processes in 3 equal slices"):
        train(dataclasses.replace(smoke, accumulate=3), index, tmp_path)


def test_the_rate_is_constant_and_then_falls_to_zero() -> None:
    from training.models.own.networks import Networks
    from training.stages.own.step import make_optimizers
    from training.trainer import _set_rate

    config = dataclasses.replace(PRESETS["smoke"], learning_rate=1.0, discriminator_learning_rate=2.0)
    optimizers = make_optimizers(Networks(config), config)
    rates = []
    for share in (0.0, 0.6, 0.8, 1.0):
        _set_rate(optimizers, config, share)
        rates.append((optimizers.generator.param_groups[0]["lr"], optimizers.discriminator.param_groups[0]["lr"]))
    assert rates == [(1.0, 2.0), (1.0, 2.0), pytest.approx((0.5, 1.0)), pytest.approx((0.0, 0.0), abs=1e-12)]
