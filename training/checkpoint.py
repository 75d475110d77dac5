"""Checkpoints: one file with everything that a run needs to go on, that `torch.load(weights_only=True)` opens."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from training.config import TrainingConfig, config_from_dict

FORMAT = 1


class CheckpointError(Exception):
    """A checkpoint that cannot be used; the message says why."""


def save(path: Path, values: dict[str, Any]) -> None:
    """Write atomically: a reader, or a run that is killed here, finds the old file or the new one."""
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        torch.save({"format": FORMAT, **values}, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def load(path: Path) -> dict[str, Any]:
    """`config` (a dictionary), `networks` and `ema` (state dictionaries), `images_seen`, and, in a run's own file,
    `optimizers`. Raises CheckpointError."""
    try:
        values: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as exc:
        raise CheckpointError(f"there is no checkpoint {path}") from exc
    except Exception as exc:  # torch raises many types for a damaged file
        raise CheckpointError(f"{path} is not a readable checkpoint: {exc}") from exc
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise CheckpointError(f"{path} is no checkpoint of format {FORMAT}")
    return values


def config_of(values: dict[str, Any]) -> TrainingConfig:
    return config_from_dict(values["config"])


def restore(module: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Load weights, those in half precision widened, into a network. Raises CheckpointError where shapes differ."""
    try:
        module.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in weights.items()})
    except RuntimeError as exc:
        raise CheckpointError(f"{path} does not fit this configuration's networks: {exc}") from exc


def slim(values: dict[str, Any]) -> dict[str, Any]:
    """What ships: every network's averaged weights in half precision, without the optimizers' state.

    Fine-tuning starts from it; resuming a run needs the whole file.
    """
    networks = {**values["networks"], **values["ema"]}
    halved = {k: v.half() if v.is_floating_point() else v for k, v in networks.items()}
    kept = {k: v for k, v in values.items() if k not in ("optimizers", "networks", "ema", "format")}
    return {**kept, "networks": halved, "ema": {}}


def config_to_dict(config: TrainingConfig) -> dict[str, Any]:
    return dataclasses.asdict(config)
