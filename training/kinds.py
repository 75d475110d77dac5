"""The kinds of models that can be trained: for each its settings, its networks and its stages. A new one is one entry.

The networks and stages of a kind are imported when they are needed: PyTorch takes seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from training.config import PaperConfig, TrainingConfig, build
from training.models.scene_config import SceneConfig

if TYPE_CHECKING:
    from training.models.networks import Networks
    from training.stages.stage import Stage


@dataclass(frozen=True)
class Kind:
    """config: its dataclass; networks(config): a run's networks; stages(config): their classes, in order."""

    config: type[TrainingConfig]
    networks: Callable[[Any], Networks]
    stages: Callable[[Any], list[type[Stage]]]


def paper_networks(config: PaperConfig) -> Networks:
    from training.models.paper_networks import PaperNetworks

    return PaperNetworks(config)


def paper_stages(config: PaperConfig) -> list[type[Stage]]:
    from training.stages.adversarial import AdversarialTraining
    from training.stages.audio_visual_pretraining import AudioVisualPretraining

    return [AudioVisualPretraining, AdversarialTraining] if config.pretraining.steps else [AdversarialTraining]


def scene_networks(config: SceneConfig) -> Networks:
    from training.models.scene_networks import SceneNetworks

    return SceneNetworks(config)


def scene_stages(config: SceneConfig) -> list[type[Stage]]:
    from training.stages.style_training import StyleTraining

    return [StyleTraining]


KINDS: Mapping[str, Kind] = {
    "paper": Kind(PaperConfig, paper_networks, paper_stages),
    "scene": Kind(SceneConfig, scene_networks, scene_stages),
}


def kind_of(config: TrainingConfig) -> Kind:
    return KINDS[config.kind]


def config_from_dict(values: Mapping[str, Any]) -> TrainingConfig:
    """The configuration of these plain values, whose `kind` says of which model. Raises ValueError."""
    kind = str(values.get("kind"))
    if kind not in KINDS:
        raise ValueError(f"the configuration is of the kind {kind!r}; known are {', '.join(KINDS)}")
    config: TrainingConfig = build(KINDS[kind].config, values)
    return config
