"""Everything that a reproduction measured and drew: what the report is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from training.reproduce.measure import EvaluationSetup, Figures
from training.reproduce.panels import Panel
from training.reproduce.scale import Scale
from training.reproduce.sweeps import Sweeps


@dataclass(frozen=True)
class Results:
    scale: Scale
    setup: EvaluationSetup
    seed: int
    trained: Mapping[str, Mapping[str, Any]]  # by row: images, seconds, and diverged (why) where it did
    left_out: Mapping[str, str]  # by row: why
    figures: Mapping[str, Figures]  # by row, controls among them
    sweeps: Sweeps
    panels: Mapping[str, Panel]
    missing_panels: Mapping[str, str]  # by panel: why
