"""How a run begins: anew, with the weights of another, or where it stopped."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from training import checkpoint
from training.imports.published_audio import load_published
from training.models.scene_audio_encoder import SceneAudioEncoder, load_encoder
from training.record import require_resumable
from training.stages.stage import Run


@dataclass(frozen=True)
class Start:
    """How a run begins, besides its settings."""

    weights: Path | None = None  # a checkpoint whose weights it begins with (fine-tuning)
    audio_weights: Path | None = None  # the published file that the preset's audio encoder begins with
    resume_from: Path | None = None  # a numbered checkpoint to go on from, instead of the newest
    force: bool = False  # go on with another index, batch or schedule than it was begun with


@dataclass
class Progress:
    """How far a run is. steps, seconds: of each stage by its name."""

    stage: str = ""
    steps: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    images_seen: int = 0

    @property
    def total_steps(self) -> int:
        return sum(self.steps.values())


def resume(run: Run, folder: Path, start: Start, index_sha256: str) -> tuple[Progress, dict[str, Any] | None]:
    """How far the run is, and what its checkpoint holds."""
    path = start.resume_from or folder / checkpoint.NEWEST
    if start.resume_from is None and not path.exists():
        return Progress(), None
    values = checkpoint.load(path)
    if "stage" not in values:
        raise checkpoint.CheckpointError(f"{path} cannot be resumed, being no run's own: begin with it by --from")
    require_resumable(values, run.config, index_sha256, start.force)
    checkpoint.restore(run.networks, values["networks"], path)
    checkpoint.restore(run.average, values["ema"], path)
    return Progress(**values["progress"]), values


def begin_with_weights(run: Run, start: Start) -> None:
    """Load what the run begins with, where its preset or `start` names such. Raises CheckpointError, ValueError."""
    audio_start = getattr(run.config, "audio_start", "scratch")
    if start.weights is not None:
        values = checkpoint.load(start.weights)
        checkpoint.restore(run.networks, {**values["networks"], **values["ema"]}, start.weights)
    elif audio_start != "scratch":
        if start.audio_weights is None:
            raise ValueError(
                f"the preset {run.config.preset!r} begins with a trained audio encoder: name its file, --audio-weights"
            )
        if audio_start == "scene":
            begin_with_scene_encoder(run.networks.audio_encoder, start.audio_weights)
            return
        load_published(run.networks.audio_encoder.network, audio_start, start.audio_weights)
    if start.audio_weights is not None and audio_start == "scratch":
        raise ValueError(
            f"the preset {run.config.preset!r} takes no --audio-weights; `demo`, `selavi` and `wav2clip` do"
        )


def begin_with_scene_encoder(encoder: SceneAudioEncoder, path: Path) -> None:
    """Load a trained audio encoder. Raises ValueError, also where it is another classifier than the settings say."""
    trained = load_encoder(path)
    if trained.config.classifier != encoder.config.classifier:
        raise ValueError(
            f"{path} holds the classifier {trained.config.classifier!r}, the settings say "
            f"{encoder.config.classifier!r}: --set audio_classifier={trained.config.classifier}"
        )
    encoder.load_state_dict(trained.state_dict())


def begin_alike(steps: int | None, folder: Path) -> None:
    """Raises CheckpointError if the processes, perhaps on several hosts, have found other checkpoints."""
    if torch.distributed.is_initialized():
        found: list[int | None] = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(found, steps)
        if len(set(found)) > 1:
            raise checkpoint.CheckpointError(
                f"the processes find checkpoints of {found} steps in {folder}: all hosts must see one --run folder"
            )
