"""Published audio encoders as the start of a run: SeLaVi's (a ResNet9) and Wav2CLIP's (a ResNet18), by path.

Both keep torchvision's names below a prefix. Their last layer is dropped: ours maps to the embedding and begins anew.
What they heard was another spectrogram (SeLaVi 257 log filter banks, Wav2CLIP log power every 353 samples, each
standardised); the encoder goes on from their weights with the spectrogram of this code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from training.checkpoint import CheckpointError
from training.imports.avstyle import read_file, take
from training.models.resnet import ResNet18

LAYERS = {"0": "conv1", "1": "bn1"}  # of our stem


@dataclass(frozen=True)
class Layout:
    """Where a published file keeps the audio encoder: under `entry`, its names beginning with `prefix`."""

    entry: str
    prefix: str


LAYOUTS: Mapping[str, Layout] = {
    "selavi": Layout("model", "audio_network.base."),
    "wav2clip": Layout("state_dict", "audio_encoder."),
}


def load_published(network: ResNet18, kind: str, path: Path) -> None:
    """Start the network from a published file. Raises CheckpointError, naming what is missing or of another shape."""
    layout = LAYOUTS[kind]
    values = read_file(path)
    if not isinstance(values, Mapping) or not isinstance(values.get(layout.entry), Mapping):
        raise CheckpointError(f"{path} has no entry {layout.entry!r}; is it the published file of {kind}?")
    theirs = _audio_part(values[layout.entry], layout.prefix)
    if not theirs:
        raise CheckpointError(f"{path} has no entry below {layout.prefix!r}; is it the published file of {kind}?")
    names = {
        torchvision_name(ours, network.stage_blocks): ours
        for ours in network.state_dict()
        if not ours.startswith("head.")
    }
    take(network, theirs, names, path)


def _audio_part(weights: Mapping[str, Any], prefix: str) -> dict[str, Tensor]:
    """The encoder's entries by torchvision's names, without the classifier and the computed spectrogram."""
    named = {str(name).removeprefix("module."): value for name, value in weights.items()}  # DataParallel's prefix
    part = {k.removeprefix(prefix): v for k, v in named.items() if k.startswith(prefix) and isinstance(v, Tensor)}
    return {k: v for k, v in part.items() if not k.startswith(("fc.", "spectrogram."))}


def torchvision_name(ours: str, stage_blocks: int) -> str:
    """torchvision's name of an entry of our ResNet."""
    part, number, rest = ours.split(".", 2)
    if part == "stem":
        return f"{LAYERS[number]}.{rest}"
    stage, block = divmod(int(number), stage_blocks)
    return f"layer{stage + 1}.{block}.{rest.replace('shortcut.', 'downsample.')}"
