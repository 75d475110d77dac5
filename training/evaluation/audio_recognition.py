"""What an audio encoder hears in recordings of sources that it never heard: scenes, strangers, gains and mixes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import Tensor

from training.data.audio_augmentation import at_level, loudest
from training.evaluation.metrics.statistics import Estimate
from training.models.scene_audio_encoder import SceneAudioConfig, SceneAudioEncoder

GAINS_DB = (-30.0, -20.0, -10.0, 0.0, 12.0)
MIX_WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
LEVEL_DBFS = -23.0
QUIET_LEVEL_DBFS = -33.0
HEARD_CERTAINTY = 0.5  # above it a scene counts as recognised, and not as a stranger
EVEN_WITHIN = 0.2  # of the way, at each weight
_ROUNDS = 1000  # of the bootstrap

Hear = Callable[[Tensor], Tensor]  # waveforms [B, N] -> embeddings [B, E]


@dataclass(frozen=True)
class HeardRecording:
    """The loudest window of one recording as an encoder hears it at LEVEL_DBFS.

    certainty: 0..1; scene: the nearest of the scenes; kind: what the recording is.
    """

    name: str
    kind: str
    source: str
    scene: str
    certainty: float
    nearest: str  # of all kinds


def hear_recordings(
    encoder: SceneAudioEncoder, recordings: Sequence[tuple[str, str, str, NDArray[np.float32]]]
) -> list[HeardRecording]:
    """recordings: (name, kind, source, waveform [M]) of any level and length."""
    config = encoder.config
    windows = torch.stack([loudest_window(waveform, config) for _, _, _, waveform in recordings])
    embedding, strength = _embed(encoder, windows), _strength(encoder, windows)
    certainty = embedding.norm(dim=1) / strength
    cosine = F.normalize(embedding, dim=1) @ encoder.prototypes.T
    scenes = len(config.scenes)
    return [
        HeardRecording(
            name=name,
            kind=kind,
            source=source,
            scene=config.scenes[int(cosine[i, :scenes].argmax())],
            certainty=float(certainty[i]),
            nearest=config.kinds[int(cosine[i].argmax())],
        )
        for i, (name, kind, source, _) in enumerate(recordings)
    ]


def loudest_window(waveform: NDArray[np.float32], config: SceneAudioConfig, level_dbfs: float = LEVEL_DBFS) -> Tensor:
    """The window [N] that the service would choose, at a level."""
    window = loudest(waveform, config.clip_samples, config.hop_samples)
    return torch.from_numpy(at_level(window, 10 ** (level_dbfs / 20)))


def recognition_figures(
    heard: Sequence[HeardRecording], scenes: Sequence[str], left_out: Sequence[str] = ("wind",), seed: int = 0
) -> dict[str, Any]:
    """Balanced accuracy, AUROC of known against unknown and certainties, with 95 % intervals over sources.

    left_out: kinds that are neither known nor unknown. A scene's recall counts a recording as right if its nearest
    scene is its own; `recognised` also wants a certainty above one half.
    """
    own = [one for one in heard if one.kind in scenes]
    strangers = [one for one in heard if one.kind not in scenes and one.kind not in left_out]
    figures: dict[str, Any] = {
        "recordings": len(heard),
        "sources": len({one.source for one in heard}),
        "balanced accuracy": _interval(own, lambda some: _balanced(some, scenes, 0.0), seed),
        "recognised": _interval(own, lambda some: _balanced(some, scenes, HEARD_CERTAINTY), seed),
        "auroc": _interval([*own, *strangers], lambda some: _auroc(some, scenes), seed),
        "recall": {scene: _recall(own, scene, 0.0) for scene in scenes if any(o.kind == scene for o in own)},
        "certainty": {
            kind: {
                "mean": float(np.mean([one.certainty for one in heard if one.kind == kind])),
                "above half": float(np.mean([one.certainty > HEARD_CERTAINTY for one in heard if one.kind == kind])),
                "recordings": sum(one.kind == kind for one in heard),
            }
            for kind in sorted({one.kind for one in heard})
        },
        "confusion": confusion(heard, scenes),
        "wrong": [
            asdict(one)
            for one in heard
            if (one.kind in scenes and (one.scene != one.kind or one.certainty < HEARD_CERTAINTY))
            or (one.kind not in scenes and one.certainty > HEARD_CERTAINTY)
        ],
    }
    known, unknown = np.mean([o.certainty for o in own]), np.mean([o.certainty for o in strangers])
    figures["stranger over known"] = float(unknown / known)
    return figures


def confusion(heard: Sequence[HeardRecording], scenes: Sequence[str]) -> dict[str, dict[str, int]]:
    """kind -> how many of its recordings were heard as each scene, or as none (certainty of one half at most)."""
    table: dict[str, dict[str, int]] = {}
    for one in heard:
        answer = one.scene if one.certainty > HEARD_CERTAINTY else "none"
        row = table.setdefault(one.kind, dict.fromkeys((*scenes, "none"), 0))
        row[answer] += 1
    return table


def effect_at_gains(
    encoder: SceneAudioEncoder, waveforms: Sequence[NDArray[np.float32]], level_dbfs: float
) -> list[float]:
    """For each of GAINS_DB the mean over recordings at `level_dbfs` of the embedding's length, share of the most."""
    windows = torch.stack([loudest_window(waveform, encoder.config, level_dbfs) for waveform in waveforms])
    lengths = torch.stack([_embed(encoder, windows * 10 ** (gain / 20)).norm(dim=1) for gain in GAINS_DB])
    return [float(share) for share in (lengths / lengths.amax(dim=0)).mean(dim=1)]


def mix_positions(
    encoder: SceneAudioEncoder, first: NDArray[np.float32], second: NDArray[np.float32]
) -> tuple[list[float], list[float]]:
    """Position (0 at the first's direction, 1 at the second's) and certainty of mixes by MIX_WEIGHTS of the second.

    The position is by angles, so that a mix beside the way between the two counts by which of them is nearer.
    """
    pair = [loudest_window(waveform, encoder.config) for waveform in (first, second)]
    windows = torch.stack([(1 - weight) * pair[0] + weight * pair[1] for weight in MIX_WEIGHTS])
    embedding = _embed(encoder, windows)
    certainty = embedding.norm(dim=1) / _strength(encoder, windows)
    unit = F.normalize(embedding, dim=1)
    angles = torch.acos((unit @ unit[[0, -1]].T).clamp(-1, 1))  # [weights, 2]
    position = angles[:, 0] / angles.sum(dim=1).clamp(min=1e-6)
    return position.tolist(), certainty.tolist()


def mix_figures(
    encoder: SceneAudioEncoder,
    recordings: Sequence[tuple[str, str, str, NDArray[np.float32]]],
    pairs: int,
    seed: int = 0,
) -> dict[str, Any]:
    """Of `pairs` random pairs of recordings of two scenes: how many turn monotonely and evenly, and their certainty."""
    rng = np.random.default_rng(seed)
    scenes = [one for one in recordings if one[1] in encoder.config.scenes]
    monotone: list[bool] = []
    even: list[bool] = []
    positions: list[list[float]] = []
    certainties: list[list[float]] = []
    while len(monotone) < pairs:
        first, second = (scenes[int(number)] for number in rng.integers(0, len(scenes), 2))
        if first[1] == second[1]:
            continue
        position, certainty = mix_positions(encoder, first[3], second[3])
        monotone.append(bool(np.all(np.diff(position) > -0.02)))
        even.append(monotone[-1] and float(np.abs(np.asarray(position) - MIX_WEIGHTS).max()) <= EVEN_WITHIN)
        positions.append(position)
        certainties.append(certainty)
    return {
        "pairs": pairs,
        "monotone": float(np.mean(monotone)),
        "even": float(np.mean(even)),
        "position": np.mean(positions, axis=0).round(3).tolist(),
        "certainty": np.mean(certainties, axis=0).round(3).tolist(),
    }


@torch.no_grad()
def _embed(encoder: SceneAudioEncoder, windows: Tensor) -> Tensor:
    return torch.cat([encoder(some) for some in windows.split(32)])


@torch.no_grad()
def _strength(encoder: SceneAudioEncoder, windows: Tensor) -> Tensor:
    return encoder.strength(windows).clamp(min=1e-9)


def _recall(heard: Sequence[HeardRecording], scene: str, least_certainty: float) -> float:
    right = [o.scene == scene and o.certainty > least_certainty for o in heard if o.kind == scene]
    return float(np.mean(right))


def _balanced(heard: Sequence[HeardRecording], scenes: Sequence[str], least_certainty: float) -> float:
    """The mean over the scenes that occur of their recall."""
    return float(np.mean([_recall(heard, s, least_certainty) for s in scenes if any(o.kind == s for o in heard)]))


def _auroc(heard: Sequence[HeardRecording], scenes: Sequence[str]) -> float:
    known = [one.kind in scenes for one in heard]
    if all(known) or not any(known):
        return float("nan")
    return float(roc_auc_score(known, [one.certainty for one in heard]))


def _interval(
    heard: Sequence[HeardRecording], figure: Callable[[Sequence[HeardRecording]], float], seed: int
) -> dict[str, float]:
    """The figure, and its percentile bootstrap interval over sources: recordings of one author are not independent."""
    by_source: dict[str, list[HeardRecording]] = {}
    for one in heard:
        by_source.setdefault(one.source, []).append(one)
    groups = list(by_source.values())
    rng = np.random.default_rng(seed)
    draws = []
    for _ in range(_ROUNDS):
        drawn = [one for number in rng.integers(0, len(groups), len(groups)) for one in groups[number]]
        draws.append(figure(drawn))
    low, high = np.nanpercentile(draws, [2.5, 97.5])
    return asdict(Estimate(figure(heard), float(low), float(high)))
