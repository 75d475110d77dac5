"""What a stage of a training run is: named, with a beginning and an end, resumable between any two of its steps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from training.data.dataset import Batch, CoOccurrences
from training.models.average import Average
from training.stages.precision import Precision


class DivergedError(RuntimeError):
    """A loss or a gradient went out of bounds; the message names it and the step."""


@dataclass
class Run:
    """What all stages of a run work with."""

    config: Any
    networks: Any
    average: Average
    dataset: CoOccurrences
    device: torch.device
    precision: Precision
    rank: int = 0
    ranks: int = 1
    stream: Sequence[str] = ()  # shards to learn from in the dataset's place

    def rng(self, step: int, shared: bool = False) -> torch.Generator:
        """A generator for one step, seeded by the run's seed: each process's own, or, if shared, the same in all."""
        number = step * self.ranks + (0 if shared else self.rank)
        return torch.Generator().manual_seed(self.config.seed * 1_000_003 + number)


class Stage(ABC):
    """One stage. Its state between two steps is its optimizers, the networks, their average, and `extra`.

    A subclass makes its optimizers in `__init__`, from what it learns. `begin` is called before its first step (not
    where it is resumed), `end` after its last.
    """

    name: ClassVar[str]
    budget_share: ClassVar[float] = 1.0  # of a run's time budget, beside the other stages' shares
    images_per_step: int = 0  # of those that count as seen by the generator
    begins_anew_only: ClassVar[bool] = False  # left out where a run begins with the weights of another

    def __init__(self, run: Run) -> None:
        self.run = run
        self.optimizers: dict[str, torch.optim.Optimizer] = {}

    @property
    @abstractmethod
    def steps(self) -> int:
        """How many there are, unless a time budget says how long."""

    def begin(self) -> None:  # noqa: B027  # most have nothing to do
        """Prepare the first step."""

    def batches(self, first: int, share_at: Callable[[int], float]) -> Iterator[Batch]:
        """What the steps from `first` on learn from; share_at(step): of the stage that is done by then."""
        while True:
            yield {}

    @abstractmethod
    def step(self, number: int, batch: Batch, share: float) -> Mapping[str, Tensor]:
        """Learn once; the losses by name, on their device, without gradient. share: of the stage that is done.

        Raises DivergedError.
        """

    def end(self) -> None:  # noqa: B027
        """Leave the networks as the next stage needs them."""

    def extra(self) -> dict[str, Any]:
        """State beside the optimizers."""
        return {}

    def restore_extra(self, values: dict[str, Any]) -> None:  # noqa: B027
        """Take over what `extra` returned."""

    def state_dict(self) -> dict[str, Any]:
        return {"optimizers": {k: o.state_dict() for k, o in self.optimizers.items()}, "extra": self.extra()}

    def load_state_dict(self, values: dict[str, Any]) -> None:
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(values["optimizers"][name])
        self.restore_extra(values["extra"])


def falling_rate(rate: float, constant_share: float, share: float) -> float:
    """Constant, then linear to zero (App. A.2: 30 + 20 epochs)."""
    falling = (share - constant_share) / max(1e-9, 1 - constant_share)
    return rate * (1 - max(0.0, falling))


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """`scale` in a group is what the rate is multiplied by for it."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("scale", 1.0)


def mean_losses(losses: Mapping[str, Sequence[Tensor]]) -> dict[str, Tensor]:
    """Over the slices of a batch."""
    return {name: torch.stack([v.detach().float() for v in values]).mean() for name, values in losses.items()}
