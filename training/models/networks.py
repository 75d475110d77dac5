"""What every kind of model is to the trainer, the evaluation and the export."""

from __future__ import annotations

from typing import Any

from torch import nn

from training.models.backbone import Backbone


class Networks(nn.Module):
    """All networks of a run. A kind's own class makes them in its `__init__`.

    generator: has `encoder` (image [B, 3, H, W] in [-1, 1] -> content [B, C, H/4, W/4]) and `decoder` (content and
    embedding [B, E] -> image); content_channels: C. audio_encoder: waveform [B, N] -> embedding [B, E]. conditioner:
    see training/models/conditioner.py. These three are averaged, evaluated and exported.
    stride: H and W are multiples of it; size_multiple: and of this, where the smallest images are to work as well.
    """

    generator: Any
    audio_encoder: Any
    conditioner: Any
    content_channels: int
    stride: int = 4
    size_multiple: int = 8  # reflection at a content map's edges needs two cells

    def __init__(self) -> None:
        super().__init__()
        self.image_tower: Any = None  # of audio-visual pre-training
        self.towers_agree = False  # the audio encoder stays as the pre-training left it, so that both can judge
        self._backbone: list[Backbone] = []  # in a list: its frozen weights are no part of a checkpoint

    @property
    def backbone(self) -> Backbone:
        return self._backbone[0]

    def to_device(self, *arguments: Any, **options: Any) -> None:
        """`to`, for the backbone as well."""
        self.to(*arguments, **options)
        for backbone in self._backbone:
            backbone.to(*arguments, **options)


def trainable(*modules: nn.Module | None) -> list[nn.Parameter]:
    """The parameters of these that learn."""
    return [p for module in modules if module is not None for p in module.parameters() if p.requires_grad]
