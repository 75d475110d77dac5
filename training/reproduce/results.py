"""Everything that a reproduction measured and drew: what the report is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from training.reproduce.measure import EvaluationSetup, Figures
from training.reproduce.panels import Panel
from training.reproduce.scale import Scale
from training.reproduce.sweeps import Curve, Sweeps


@dataclass(frozen=True)
class Results:
    scale: Scale
    setup: EvaluationSetup
    seed: int
    trained: Mapping[str, Mapping[str, Any]]  # by row: images, seconds, and diverged (why) where it did
    left_out: Mapping[str, str]  # by row: why
    figures: Mapping[str, Figures]  # by row, controls among them
    sweeps: Sweeps
    progress: Mapping[str, Sequence[Curve]]  # of the longer run, by chart; empty where there is none
    panels: Mapping[str, Panel]
    missing_panels: Mapping[str, str]  # by panel: why
