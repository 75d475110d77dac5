"""How a model answers to its sound: loudness, silence, mixtures, and what it leaves of the photograph."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from training.data import media
from training.data.conditions import ConditioningExample
from training.evaluation.inference import CheckpointModel
from training.evaluation.metrics.findings import Findings
from training.evaluation.metrics.pictures import distance_255, gradient_correlation, tint_255
from training.evaluation.metrics.statistics import rises_with

SOFTER_DB = (-30.0, -20.0, -10.0)
MIX_WEIGHTS = (1.0, 0.75, 0.5, 0.25, 0.0)


def note_kept(findings: Findings, image: Tensor, results: Tensor, source: str) -> None:
    """What the results [S, 3, H, W] leave of the photograph [1, 3, H, W], and how far they are from one another."""
    several = image.expand(len(results), -1, -1, -1)
    for key, values in (
        ("swap effect /255", distance_255(results, results.roll(1, dims=0))),
        ("gradient correlation", gradient_correlation(results, several)),
        ("change /255", distance_255(results, several)),
        ("tint /255", tint_255(results, several)),
    ):
        for value in values:
            findings.note(key, value.item(), source)


def note_behaviour(
    findings: Findings,
    model: CheckpointModel,
    image: Tensor,
    content: Tensor,
    waves: Tensor,
    examples: Sequence[ConditioningExample],
    results: Tensor,
    pair: tuple[int, int],
    source: str,
) -> None:
    """results: [S, 3, H, W], the model's pictures of `image` for the sounds `waves` [S, N]; pair: which to mix.

    examples: what occurs with each sound. It stays when the sound is softened; a mixture has its louder part's.
    """
    several = image.expand(len(results), -1, -1, -1)
    softer = [model.decode(content, waves * 10 ** (gain / 20), examples) for gain in SOFTER_DB]
    changes = torch.stack([distance_255(pictures, several) for pictures in (*softer, results)])  # [gains, S]
    for column in changes.T:
        findings.note("gain-monotone", rises_with((*SOFTER_DB, 0.0), column.tolist()), source)
    silent = model.decode(content, torch.zeros(1, waves.shape[1]), examples[:1])
    findings.note("silence /255", distance_255(silent, image).item(), source)
    findings.note("mix-monotone", _mix_is_monotone(model, content, waves, examples, pair), source)


def _mix_is_monotone(
    model: CheckpointModel,
    content: Tensor,
    waves: Tensor,
    examples: Sequence[ConditioningExample],
    pair: tuple[int, int],
) -> bool:
    """With every step of the weight, at one loudness of both, the result leaves the first's and nears the second's."""
    first, second = (media.at_level(waves[place], -25.0) for place in pair)
    mixtures = torch.stack([weight * first + (1 - weight) * second for weight in MIX_WEIGHTS])
    louder = [examples[pair[0] if weight >= 0.5 else pair[1]] for weight in MIX_WEIGHTS]
    mixed = model.decode(content, mixtures, louder)
    left = distance_255(mixed, mixed[:1])
    right = distance_255(mixed, mixed[-1:])
    return bool((left.diff() > 0).all() and (right.diff() < 0).all())
