"""Rank correlation, monotony and bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr


@dataclass(frozen=True)
class Estimate:
    """A mean and its 95 % interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3g} [{self.low:.3g}, {self.high:.3g}]"


def bootstrap(values: Sequence[float], groups: Sequence[str], rounds: int = 2000, seed: int = 0) -> Estimate:
    """The mean over groups (photographs, videos) of the group means, and its percentile bootstrap interval.

    Groups are drawn, not values: what was measured on one photograph is not independent.
    """
    if len(values) != len(groups) or not values:
        raise ValueError("one group for each value is needed, and at least one value")
    names = sorted(set(groups))
    sums = {name: [0.0, 0] for name in names}
    for value, name in zip(values, groups, strict=True):
        sums[name][0] += float(value)
        sums[name][1] += 1
    means = np.array([sums[name][0] / sums[name][1] for name in names])
    draws = np.random.default_rng(seed).integers(len(means), size=(rounds, len(means)))
    low, high = np.percentile(means[draws].mean(axis=1), [2.5, 97.5])
    return Estimate(float(means.mean()), float(low), float(high))


def rises_with(order: Sequence[float], values: Sequence[float], least: float = 0.9) -> bool:
    """Whether Spearman's correlation of the values with the order is at least that; constant values do not rise."""
    if np.ptp(values) == 0:
        return False
    return bool(spearmanr(order, values).statistic >= least)
