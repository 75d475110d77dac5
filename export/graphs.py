"""The three graphs of a bundle as modules: the networks of a checkpoint with their pre- and post-processing."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from export.folding import FoldedConvolution
from training import checkpoint
from training.config import TrainingConfig
from training.kinds import kind_of
from training.models.scene_audio_encoder import load_encoder


class ContentGraph(nn.Module):
    """Genc: image [B, 3, H, W] in 0..1 -> content [B, C, H/4, W/4]."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, image: Tensor) -> Tensor:
        content: Tensor = self.encoder(image * 2 - 1)
        return content


class DecoderGraph(nn.Module):
    """Gdec: content [B, C, H/4, W/4] and embedding [B, E] -> stylized [B, 3, H, W] in 0..1."""

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, content: Tensor, embedding: Tensor) -> Tensor:
        stylized: Tensor = self.decoder(content, embedding)
        return (stylized / 2 + 0.5).clamp(0, 1)


class AudioGraph(nn.Module):
    """f: waveform [B, N], full scale = 1 -> embedding [B, E]."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, waveform: Tensor) -> Tensor:
        embedding: Tensor = self.encoder(waveform)
        return embedding


@dataclass(frozen=True)
class Graphs:
    """The three modules in evaluation mode, and the configuration that they were trained with."""

    audio_encoder: AudioGraph
    content_encoder: ContentGraph
    decoder: DecoderGraph
    config: TrainingConfig
    images_seen: int
    content_channels: int  # C, the channels of `content`
    stride: int  # height and width of an image are multiples of it
    size_multiple: int  # what the manifest asks of them

    def folded(self) -> Graphs:
        """The same functions with the decoder's last layer rewritten for speed: what is written into the bundle."""
        decoder = copy.deepcopy(self.decoder)
        inner: Any = decoder.decoder
        inputs = getattr(inner, "head_inputs", None)
        if inputs is None:  # a head that is no large convolution to few channels
            return self
        inner.head = FoldedConvolution(inner.head, inputs)
        return dataclasses.replace(self, decoder=decoder)


def with_audio_encoder(values: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """A checkpoint of the scene stylizer with the audio encoder of `path` (`training audio-encoder`) in its place.

    Its directions must be those that the generator was trained on. Raises ValueError, OSError.
    """
    encoder = load_encoder(path)
    weights = {**values["networks"], **values["ema"]}
    directions = weights.get("audio_encoder.prototypes")
    if directions is None:
        raise ValueError("--audio-encoder goes with checkpoints of the scene stylizer alone")
    if not torch.allclose(directions.float(), encoder.prototypes, atol=1e-3):  # half precision in a slim checkpoint
        raise ValueError(f"{path} has other directions than the checkpoint: train it with --directions")
    own = {f"audio_encoder.{name}": value for name, value in encoder.state_dict().items()}
    rest = {name: value for name, value in weights.items() if not name.startswith("audio_encoder.")}
    config = {**values["config"], "audio_classifier": encoder.config.classifier}
    return {**values, "config": config, "networks": {**rest, **own}, "ema": {}}


def read_graphs(path: Path) -> Graphs:
    """`graphs_of` what a checkpoint holds. Raises CheckpointError."""
    return graphs_of(checkpoint.load(path), path)


def graphs_of(values: Mapping[str, Any], path: Path) -> Graphs:
    """The graphs of a checkpoint's averaged weights, in fp32; a slim checkpoint holds nothing but those.

    path: where `values` were read, for messages. Raises CheckpointError, also where the weights are not of the
    configuration's shapes, and where no waveform alone gives the embedding.
    """
    try:
        config = checkpoint.config_of(values)
        if config.condition.kind != "audio":
            raise checkpoint.CheckpointError(
                f"{path} is of the preset {config.preset!r}, whose generator is conditioned on a "
                f"{config.condition.kind}: a bundle goes from a waveform to an embedding, so such a model can be "
                "evaluated but not exported"
            )
        networks = kind_of(config).networks(config)
        generator, audio_encoder = networks.generator, networks.audio_encoder
        weights = {**values["networks"], **values["ema"]}
        generator.load_state_dict(_part(weights, "generator."))
        audio_encoder.load_state_dict(_part(weights, "audio_encoder."))
        images_seen = int(values["images_seen"])
    except (KeyError, TypeError, ValueError, RuntimeError) as exc:
        raise checkpoint.CheckpointError(f"{path} does not fit this version's networks: {exc}") from exc
    graphs = (AudioGraph(audio_encoder), ContentGraph(generator.encoder), DecoderGraph(generator.decoder))
    for graph in graphs:
        graph.eval().requires_grad_(False)
    return Graphs(
        *graphs,
        config=config,
        images_seen=images_seen,
        content_channels=networks.content_channels,
        stride=networks.stride,
        size_multiple=networks.size_multiple,
    )


def _part(weights: Mapping[str, Any], prefix: str) -> dict[str, Tensor]:
    """The entries below `prefix`, without it, half precision widened."""
    part = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
    return {k: v.float() if v.is_floating_point() else v for k, v in part.items()}
