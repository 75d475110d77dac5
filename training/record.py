"""What a run's folder says of it: the resolved settings, versions and index; and whether another may go on with it."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch

from training.checkpoint import CheckpointError
from training.config import FREE_ON_RESUME, TrainingConfig, flat, to_dict
from training.data.files import written_whole
from training.stages.precision import Precision, instruction_set

ARCHITECTURE = ("kind", "audio", "condition", "generator", "discriminator")


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def versions() -> dict[str, str]:
    """Of what computes."""
    found = {"python": platform.python_version(), "torch": torch.__version__, "instruction_set": instruction_set()}
    if torch.cuda.is_available():
        found |= {"cuda": str(torch.version.cuda), "gpu": torch.cuda.get_device_name()}
    if commit := _commit():
        found["commit"] = commit
    return found


def write_record(folder: Path, config: TrainingConfig, index: Path, precision: Precision, ranks: int) -> None:
    """`run.json`: what the newest part of the run was started with."""
    values = {
        "config": to_dict(config),
        "index": {"path": str(index), "sha256": sha256_of(index)},
        "precision": str(precision),
        "processes": ranks,
        "versions": versions(),
    }
    with written_whole(folder / "run.json") as partial:
        partial.write_text(json.dumps(values, indent=1), encoding="utf-8")


def require_resumable(saved: dict[str, Any], config: TrainingConfig, index_sha256: str, force: bool) -> None:
    """Raises CheckpointError where a run would go on with other settings or another index than it was begun with.

    `force` takes them, but for another architecture, whose weights would not fit.
    """
    before, now = flat(saved["config"]), flat(json.loads(json.dumps(to_dict(config))))
    before = flat(json.loads(json.dumps(saved["config"])))
    changed = {k for k in before.keys() | now.keys() if before.get(k) != now.get(k)} - FREE_ON_RESUME
    for part in ARCHITECTURE:
        if any(name == part or name.startswith(f"{part}.") for name in changed):
            raise CheckpointError(
                f"the run was begun with another {part} configuration; choose another --run folder or the old preset"
            )
    found = [f"{name} was {before.get(name)} and is {now.get(name)}" for name in sorted(changed)]
    if saved.get("index_sha256") != index_sha256:
        found.append("the index is another")
    if found and not force:
        raise CheckpointError(
            f"the run was begun with other settings: {'; '.join(found)}. Choose another --run folder, the old "
            "settings, or --force to go on with these"
        )


def _commit() -> str | None:
    folder = Path(__file__).parent
    try:
        found = subprocess.run(
            ["git", "-C", str(folder), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()
