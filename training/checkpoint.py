"""Checkpoints: one file with everything that a run needs to go on, that `torch.load(weights_only=True)` opens.

A run's folder holds them by number (`checkpoints/STEP.pt`, the newest few), and the newest as `checkpoint.pt`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from training.config import TrainingConfig
from training.kinds import config_from_dict

FORMAT = 2  # 1 held configurations of an earlier layout
NEWEST, NUMBERED = "checkpoint.pt", "checkpoints"


class CheckpointError(Exception):
    """A checkpoint that cannot be used; the message says why."""


def save(path: Path, values: Mapping[str, Any]) -> None:
    """Write atomically: a reader, or a run that is killed here, finds the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        torch.save({"format": FORMAT, **values}, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def save_numbered(folder: Path, step: int, values: Mapping[str, Any], keep: int) -> Path:
    """Write `checkpoints/STEP.pt` and make it `checkpoint.pt`; the oldest beyond `keep` go. Returns checkpoint.pt."""
    path = folder / NUMBERED / f"{step:08d}.pt"
    save(path, values)
    link = folder / f"{NEWEST}.partial"
    link.unlink(missing_ok=True)
    link.hardlink_to(path)
    link.replace(folder / NEWEST)
    for old in sorted(path.parent.glob("*.pt"))[: -max(1, keep)]:
        if old != path:
            old.unlink()
    return folder / NEWEST


def load(path: Path) -> dict[str, Any]:
    """`config` (a dictionary), `networks` and `ema` (state dictionaries), `images_seen`, and, in a run's own file,
    `progress` and `stage`. Raises CheckpointError."""
    try:
        values: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as exc:
        raise CheckpointError(f"there is no checkpoint {path}") from exc
    except Exception as exc:  # torch raises many types for a damaged file
        raise CheckpointError(f"{path} is not a readable checkpoint: {exc}") from exc
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise CheckpointError(f"{path} is no checkpoint of format {FORMAT}")
    return values


def config_of(values: Mapping[str, Any]) -> TrainingConfig:
    """Raises ValueError."""
    return config_from_dict(values["config"])


def restore(module: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Load weights, those in half precision widened, into a network. Raises CheckpointError where shapes differ."""
    try:
        module.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in weights.items()})
    except RuntimeError as exc:
        raise CheckpointError(f"{path} does not fit this configuration's networks: {exc}") from exc


def slim(values: Mapping[str, Any]) -> dict[str, Any]:
    """What ships: every network's averaged weights in half precision, without the optimizers' state.

    Fine-tuning starts from it; resuming a run needs the whole file.
    """
    networks = {**values["networks"], **values["ema"]}
    halved = {k: v.half() if v.is_floating_point() else v for k, v in networks.items()}
    kept = {k: v for k, v in values.items() if k not in ("progress", "stage", "networks", "ema", "format")}
    return {**kept, "networks": halved, "ema": {}}
