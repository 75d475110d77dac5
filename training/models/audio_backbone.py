"""A classifier of sounds on the layers of YAMNet (MobileNetV1, trained on AudioSet's two million clips)."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LAYERS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)) + 5 * ((512, 1),)  # YAMNet's layers 2 to 12
TAPS = (8, 11)  # after so many of them what is heard is read off: layers 9 and 12
_STEM_WIDTH = 32
_OFFSET = 1e-3  # YAMNet's input is log(mel magnitude + 0.001)
_NOISE_POWER = 1.5  # of a bin of white noise at -20 dBFS under a Hann window of 400 samples, which sums to 150
_MAGNITUDE_OF_NOISE = 0.785  # the squared mean of a bin's magnitude over its mean square: pi / 4


class _Convolution(nn.Module):
    """A convolution that pads as TensorFlow's SAME, its batch norm folded in, and a ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, groups: int) -> None:
        super().__init__()
        self.padding = (0, 1, 0, 1) if stride == 2 else (kernel // 2,) * 4
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(F.pad(x, self.padding) if any(self.padding) else x))


class AudioBackbone(nn.Module):
    """Log-mel [B, 1, T, 64] as YAMNet wants it -> maps [B, 512, T / 16, 4] of the layers TAPS."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _Convolution(1, _STEM_WIDTH, 3, 2, 1)
        layers, inputs = [], _STEM_WIDTH
        for outputs, stride in LAYERS:
            depthwise = _Convolution(inputs, inputs, 3, stride, inputs)
            layers.append(nn.Sequential(depthwise, _Convolution(inputs, outputs, 1, 1, 1)))
            inputs = outputs
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x)
        maps = []
        for number, layer in enumerate(self.layers, start=1):
            x = layer(x)
            if number in TAPS:
                maps.append(x)
        return maps


class BackboneClassifier(nn.Module):
    """Mel powers [B, 1, M, T] -> logits [B, kinds], by mean and spread over time of the backbone's maps."""

    band_gain: Tensor

    def __init__(self, kinds: int, dropout: float, filters: Tensor) -> None:
        super().__init__()
        self.backbone = AudioBackbone()
        width = 2 * len(TAPS) * LAYERS[-1][0]
        self.norm = nn.BatchNorm1d(width)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, kinds)
        bins = filters.sum(dim=1)
        self.register_buffer("band_gain", _MAGNITUDE_OF_NOISE * _NOISE_POWER * bins * bins.mean(), persistent=False)

    def spectrogram(self, mel_power: Tensor) -> Tensor:
        """[B, M, T] powers of any level -> [B, 1, M, T]: the log magnitudes of the clip at about -20 dBFS.

        YAMNet sums magnitudes over a band, where these are powers: of noise both tell the same.
        """
        mean = mel_power.mean(dim=(1, 2), keepdim=True).clamp(min=1e-12)
        return 0.5 * torch.log(mel_power / mean * self.band_gain[:, None] + _OFFSET**2)[:, None]

    def forward(self, spectrogram: Tensor) -> Tensor:
        pooled = []
        for x in self.backbone(spectrogram.transpose(2, 3)):
            over_bands = x.mean(dim=3)  # [B, C, T / 16]
            mean = over_bands.mean(dim=2)
            spread = ((over_bands - mean[:, :, None]).square().mean(dim=2) + 1e-6).sqrt()
            pooled += [mean, spread]
        logits: Tensor = self.head(self.dropout(self.norm(torch.cat(pooled, dim=1).float())))
        return logits


def load_yamnet(backbone: AudioBackbone, path: Path) -> None:
    """Begin with YAMNet's weights, of an ONNX graph of it with folded batch norms. Raises ValueError, OSError.

    Convolutions are taken in the order of the graph; weights that a quantised graph keeps in floating point are found
    behind its quantisation.
    """
    import onnx
    from google.protobuf.message import DecodeError
    from onnx import numpy_helper

    try:
        graph = onnx.load(str(path)).graph
    except DecodeError as exc:
        raise ValueError(f"{path} is not a graph of YAMNet: {exc}") from exc
    values = {tensor.name: tensor for tensor in graph.initializer}
    behind = {node.output[0]: node.input[0] for node in graph.node if node.op_type.endswith("QuantizeLinear")}
    behind |= {node.output[0]: node.input[0] for node in graph.node if node.op_type == "DequantizeLinear"}

    def tensor_of(name: str) -> Tensor:
        while name not in values:
            name = behind[name]
        return torch.from_numpy(numpy_helper.to_array(values[name]).copy()).float()

    given = [node for node in graph.node if node.op_type == "Conv"]
    own = [module for module in backbone.modules() if isinstance(module, nn.Conv2d)]
    try:
        for conv, node in zip(own, given[: len(own)], strict=True):
            conv.load_state_dict({"weight": tensor_of(node.input[1]), "bias": tensor_of(node.input[2])})
    except (IndexError, KeyError, RuntimeError, ValueError) as exc:
        raise ValueError(f"{path} is not a graph of YAMNet: {exc}") from exc
