"""The scenes that a model knows by ear, for the "what it heard" report: mean directions of its training recordings."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from tqdm import tqdm

from export.graphs import AudioGraph, Graphs
from service.model.bundle import KnownSound
from training.config import AudioConfig
from training.data import media
from training.data.index import Pair, read_index
from training.models.scene_audio_encoder import SceneAudioEncoder

LEVEL_DBFS = -20.0  # every window at one level: what counts here is what sounds, not how loud
QUIET_DBFS = -60.0  # pauses are left out
MOST_WINDOWS = 32  # of one recording


def known_sounds(encoder: AudioGraph, config: AudioConfig, index: Path) -> tuple[KnownSound, ...]:
    """For every scene of the training split the mean over its recordings of the mean direction [E] of each.

    Raises PairingError, MediaError.
    """
    recordings: dict[str, set[tuple[Path, float, float]]] = defaultdict(set)
    for pair in read_index(index, "train"):
        if pair.sound is not None:
            recordings[pair.scene].add((pair.sound, pair.start, pair.seconds))
    known = []
    for scene in tqdm(sorted(recordings), desc="hearing", unit="scene"):
        directions = []
        for sound, start, seconds in sorted(recordings[scene]):
            windows = _windows(media.read_sound(sound, config.sample_rate_hz), start, seconds, config)
            if windows:
                with torch.no_grad():
                    heard = F.normalize(encoder(torch.stack(windows)), dim=-1)  # [windows, E]
                directions.append(F.normalize(heard.mean(dim=0), dim=0))
        if directions:
            mean = F.normalize(torch.stack(directions).mean(dim=0), dim=0)
            known.append(KnownSound(name=scene, embedding=tuple(round(x, 6) for x in mean.tolist())))
    return tuple(known)


def sounds_in(graphs: Graphs, index: Path | None) -> tuple[KnownSound, ...]:
    """What the model knows by ear: its fixed directions where it has such, else by the recordings of `index`."""
    encoder = graphs.audio_encoder.encoder
    if isinstance(encoder, SceneAudioEncoder):
        return sounds_of(encoder)
    return () if index is None else known_sounds(graphs.audio_encoder, graphs.config.audio, index)


def sounds_of(encoder: SceneAudioEncoder) -> tuple[KnownSound, ...]:
    """The scenes and the strangers of an encoder whose directions are fixed, by these directions."""
    scenes = len(encoder.config.scenes)
    return tuple(
        KnownSound(name=kind, embedding=tuple(round(x, 6) for x in direction.tolist()), known=number < scenes)
        for number, (kind, direction) in enumerate(zip(encoder.config.kinds, encoder.prototypes, strict=True))
    )


def data_summary(index: Path) -> dict[str, Any]:
    """What a model was trained on, by name: photographs by folder and recordings by file."""
    pairs: list[Pair] = read_index(index, "train")
    folders: dict[str, set[Path]] = defaultdict(set)
    for pair in pairs:
        folders[pair.image.parent.name].add(pair.image)
    return {
        "photographs": {name: len(files) for name, files in sorted(folders.items())},
        "sounds": sorted({pair.sound.name for pair in pairs if pair.sound is not None}),
    }


def _windows(waveform: torch.Tensor, start: float, seconds: float, config: AudioConfig) -> list[torch.Tensor]:
    """Evenly spaced windows [N] of a stretch, loud enough to hear, at LEVEL_DBFS."""
    rate, samples = config.sample_rate_hz, config.clip_samples
    stretch = waveform[: round((start + seconds) * rate)]
    first = round(start * rate)
    latest = max(first, len(stretch) - samples)
    count = min(MOST_WINDOWS, 1 + (latest - first) // (samples // 2))
    starts = torch.linspace(first, latest, count).round().long().tolist()
    windows = [media.window(stretch, at, samples) for at in starts]
    return [media.at_level(window, LEVEL_DBFS) for window in windows if media.rms_dbfs(window) > QUIET_DBFS]
