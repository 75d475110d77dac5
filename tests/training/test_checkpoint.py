"""A checkpoint opens safely, is replaced in one stroke, and says what is wrong with it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from training import checkpoint
from training.kinds import config_from_dict
from training.presets import PRESETS


def test_a_run_opens_with_weights_only(finished_run: Path) -> None:
    values = torch.load(finished_run, weights_only=True)
    assert set(values) == {
        "format", "config", "index_sha256", "images_seen", "networks", "ema", "progress", "stage",
    }  # fmt: skip
    assert values["images_seen"] == PRESETS["smoke"].images


def test_the_configuration_survives(finished_run: Path) -> None:
    config = checkpoint.config_of(checkpoint.load(finished_run))
    assert config == PRESETS["smoke"]


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_every_preset_survives_being_written(preset: str) -> None:
    assert config_from_dict(dataclasses.asdict(PRESETS[preset])) == PRESETS[preset]


def test_unknown_settings_are_refused() -> None:
    values = dataclasses.asdict(PRESETS["smoke"])
    with pytest.raises(ValueError, match=r"no setting audio\.warp"):
        config_from_dict({**values, "audio": {**values["audio"], "warp": 1}})


def test_saving_that_fails_halfway_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    checkpoint.save(path, {"networks": {"weight": torch.ones(1000)}})
    with pytest.raises(Exception, match="pickle"):
        checkpoint.save(path, {"networks": {"weight": torch.zeros(1000)}, "cannot be written": lambda: None})
    assert checkpoint.load(path)["networks"]["weight"].sum().item() == 1000


def test_a_slim_checkpoint_holds_every_network_in_half_precision(finished_run: Path) -> None:
    values = checkpoint.load(finished_run)
    slim = checkpoint.slim(values)
    assert not {"stage", "progress"} & set(slim)
    assert slim["ema"] == {}
    assert set(slim["networks"]) == set(values["networks"])
    assert {v.dtype for v in slim["networks"].values() if v.is_floating_point()} == {torch.float16}
    average = values["ema"]["generator.decoder.head.weight"]
    assert torch.equal(slim["networks"]["generator.decoder.head.weight"], average.half())


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(checkpoint.CheckpointError, match=r"there is no checkpoint .*nothing\.pt"):
        checkpoint.load(tmp_path / "nothing.pt")


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 truncated"])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(content)
    with pytest.raises(checkpoint.CheckpointError, match="not a readable checkpoint"):
        checkpoint.load(tmp_path / "checkpoint.pt")


def test_another_format_is_refused(tmp_path: Path) -> None:
    torch.save({"format": 99}, tmp_path / "checkpoint.pt")
    with pytest.raises(checkpoint.CheckpointError, match="format 2"):
        checkpoint.load(tmp_path / "checkpoint.pt")
