"""What was measured, each value with the video or photograph that it belongs to, and the table of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from training.evaluation.metrics.frechet import Gaussian, frechet_estimate
from training.evaluation.metrics.statistics import Estimate, bootstrap


class Findings:
    """The values of one method. Means and intervals are by source, what the index holds a video to be, not by value."""

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = defaultdict(list)
        self._sources: dict[str, list[str]] = defaultdict(list)
        self._features: dict[str, list[Tensor]] = defaultdict(list)
        self._pictures_of: dict[str, list[str]] = defaultdict(list)

    def note(self, key: str, value: float, source: str) -> None:
        self._values[key].append(float(value))
        self._sources[key].append(source)

    def note_features(self, key: str, features: Tensor, source: str) -> None:
        """features: [P, D], of P pictures that were made from one source."""
        self._features[key].append(features)
        self._pictures_of[key] += [source] * len(features)

    def sources(self) -> dict[str, int]:
        """How many sources stand behind each measure."""
        return {key: len(set(names)) for key, names in (self._sources | self._pictures_of).items()}

    def estimates(self, references: Mapping[str, Gaussian]) -> dict[str, Estimate]:
        """references: what the features of that key are compared with."""
        found = {key: bootstrap(values, self._sources[key]) for key, values in self._values.items()}
        for key, parts in self._features.items():
            features = torch.cat(parts).numpy().astype(np.float64)
            if len(features) > 1:  # one picture has no covariance
                found[key] = frechet_estimate(features, self._pictures_of[key], references[key])
        return found


def table(figures: Mapping[str, Mapping[str, Estimate | float]], cell: Callable[[Estimate | float], str] = str) -> str:
    """Markdown: a row a measure, a column a method. cell: the text of a figure."""
    measures = list(dict.fromkeys(key for column in figures.values() for key in column))
    lines = ["| measure | " + " | ".join(figures) + " |", "|---" * (len(figures) + 1) + "|"]
    for key in measures:
        cells = [cell(column[key]) if key in column else "" for column in figures.values()]
        lines.append(f"| {key} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
