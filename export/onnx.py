"""Modules to ONNX graphs: one file each, weights inside, batch and size dynamic."""

from __future__ import annotations

import logging
import warnings

import onnx
import torch
from onnx import ModelProto
from torch import Tensor, nn
from torch.export import Dim

from export.graphs import Graphs
from service.model.bundle import AUDIO_ENCODER, CONTENT_ENCODER, DECODER

CELL = 4  # pixels of a content cell's side


def to_onnx(graphs: Graphs) -> dict[str, ModelProto]:
    """The bundle's three graphs by file name, each checked by onnx.checker."""
    config = graphs.config
    batch, height, width = Dim("batch", min=1), Dim("height", min=2), Dim("width", min=2)
    stride, cells = graphs.stride, graphs.stride // CELL  # pixels, and cells of the content, of one step in size
    content = torch.rand(2, graphs.content_channels, 16 * cells, 24 * cells)
    embedding = torch.rand(2, config.audio.embedding_dim)
    waveform = torch.rand(2, config.audio.clip_samples)
    return {
        AUDIO_ENCODER: _export(graphs.audio_encoder, {"waveform": waveform}, ["embedding"], [{0: batch}]),
        CONTENT_ENCODER: _export(
            graphs.content_encoder,
            {"image": torch.rand(2, 3, 16 * stride, 24 * stride)},
            ["content"],
            [{0: batch, 2: stride * height, 3: stride * width}],
        ),
        DECODER: _export(
            graphs.decoder,
            {"content": content, "embedding": embedding},
            ["stylized"],
            [{0: batch, 2: cells * height, 3: cells * width}, {0: batch}],
        ),
    }


def opset_of(model: ModelProto) -> int:
    """The version of ONNX's own operators that the graph uses."""
    return next(int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx"))


def _export(
    module: nn.Module, inputs: dict[str, Tensor], outputs: list[str], dynamic: list[dict[int, Dim]]
) -> ModelProto:
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it lists operators of packages that are not installed
    with warnings.catch_warnings():
        # Two inputs share the batch on purpose.
        warnings.filterwarnings("ignore", message=".*axis name: batch will not be used", category=UserWarning)
        program = torch.onnx.export(
            module,
            tuple(inputs.values()),
            input_names=list(inputs),
            output_names=outputs,
            dynamic_shapes=tuple(dynamic),
            dynamo=True,
            verbose=False,
        )
    assert program is not None, "the exporter returns a program unless it is given a file"
    model = program.model_proto
    _strip(model)
    onnx.checker.check_model(model, full_check=True)
    return model


def _strip(model: ModelProto) -> None:
    """Drop the exporter's notes: stack traces with the paths of this machine, half of a small graph's size."""
    graph = model.graph
    del model.metadata_props[:], graph.metadata_props[:], graph.value_info[:]
    graph.name, graph.doc_string = "graph", ""
    for part in (*graph.node, *graph.input, *graph.output, *graph.initializer):
        part.doc_string = ""
        del part.metadata_props[:]
