"""Means of losses over steps, fetched from the device when they are logged."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import torch
from torch import Tensor

from training.stages.stage import DivergedError


class LossMeter:
    """Losses of several steps, summed where they are computed: a GPU is waited for when they are fetched."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.fetched = device, 0
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = defaultdict(int)
        self._first = self._last = 0

    def add(self, losses: Mapping[str, Tensor], step: int) -> None:
        self._first = step if not self._sums else self._first
        self._last = step
        for name, value in losses.items():
            value = value.detach().float()
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._counts[name] += 1

    def check(self, max_gradient_norm: float, eager: bool) -> None:
        """On a CPU a step that diverged is found at once."""
        if eager:
            self._means(max_gradient_norm)

    def fetch(self, max_gradient_norm: float) -> dict[str, float]:
        """The means since the last time. Raises DivergedError."""
        found = self._means(max_gradient_norm)
        self.fetched = self._last - self._first + 1 if self._sums else 0
        self._sums, self._counts = {}, defaultdict(int)
        return found

    def _means(self, max_gradient_norm: float) -> dict[str, float]:
        if not self._sums:
            return {}
        values = torch.stack(list(self._sums.values())).tolist()
        means = {name: value / self._counts[name] for name, value in zip(self._sums, values, strict=True)}
        where = f"step {self._last}" if self.device.type == "cpu" else f"steps {self._first} to {self._last}"
        for name, mean in means.items():
            if not mean - mean == 0:  # infinite or no number
                raise DivergedError(
                    f"{where}: {name} is {mean}; lower the learning rate or resume from an earlier checkpoint"
                )
            if name.startswith("gradient/") and mean >= max_gradient_norm:
                raise DivergedError(f"{where}: the norm of {name} is {mean:.3g}: the run diverged")
        return means
