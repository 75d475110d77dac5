"""Write a tiny real bundle (three ONNX graphs, no training): the tests' model, and the benchmarks' null model.

audio_encoder: the embedding's length follows the sound's level (0 at silence, towards 1 when loud); its direction
follows brightness, from a low tone (first axis) to noise (second axis).
content_encoder: space to depth by 4, so `content` is the image itself.  decoder: depth to space, then a shift of
colour by the embedding: a tone warms the image, noise cools it, silence leaves it as it is.
"""

import hashlib
import json
import tempfile
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from service.model.bundle import AUDIO_ENCODER, CONTENT_ENCODER, DECODER, FP16_GRAPHS

OPSET = 18
FOLD = 4
CONTENT_CHANNELS = 3 * FOLD * FOLD
EMBEDDING_DIM = 8
HALF_LENGTH_RMS = 0.05  # level at which the embedding is half as long as it gets
WARM_RGB = (0.5, 0.1, -0.4)
COOL_RGB = (-0.4, 0.0, 0.5)


def write_tiny_bundle(
    directory: Path,
    *,
    clip_seconds: float = 3.0,
    sample_rate_hz: int = 16_000,
    size_multiple: int = 8,
    decoder: onnx.ModelProto | None = None,
    name: str | None = None,
    version: str = "1.0.0",
) -> Path:
    """Write the bundle into `directory` (made if absent) and return it.

    decoder: another graph of the same signature in place of the colour shift. name: the directory's by default.
    """
    directory.mkdir(parents=True, exist_ok=True)
    graphs = {
        AUDIO_ENCODER: _audio_encoder(round(clip_seconds * sample_rate_hz)),
        CONTENT_ENCODER: _content_encoder(),
        DECODER: decoder if decoder is not None else make_decoder(),
    }
    for file, graph in graphs.items():
        (directory / file).write_bytes(graph.SerializeToString())
    manifest = {
        "format_version": 1,
        "name": name or directory.name,
        "version": version,
        "clip_seconds": clip_seconds,
        "sample_rate_hz": sample_rate_hz,
        "embedding_dim": EMBEDDING_DIM,
        "size_multiple": size_multiple,
        "native_size": 256,
        "sha256": {name: hashlib.sha256((directory / name).read_bytes()).hexdigest() for name in graphs},
        "opset": OPSET,
        "training": {"preset": "tiny"},
        "license": "MIT",
        "sounds": [
            {"name": "tone", "embedding": _direction(0.1).tolist()},
            {"name": "noise", "embedding": _direction(2**0.5).tolist()},
        ],
    }
    (directory / "manifest.json").write_text(json.dumps(manifest, indent=2))
    return directory


def add_fp16_graphs(directory: Path, decoder: onnx.ModelProto) -> None:
    """Add graphs that pass for the bundle's in fp16, with another decoder to tell them by."""
    path = directory / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["fp16"] = {}
    for name, file in FP16_GRAPHS.items():
        content = decoder.SerializeToString() if name == DECODER else (directory / name).read_bytes()
        (directory / file).write_bytes(content)
        manifest["fp16"][file] = hashlib.sha256(content).hexdigest()
    path.write_text(json.dumps(manifest, indent=2))


def replace_tiny_bundle(directory: Path, version: str, decoder: onnx.ModelProto | None = None) -> str:
    """Put another bundle of the same name in place, by renaming as the export does; returns its SHA-256."""
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=".") as aside:
        staged = write_tiny_bundle(Path(aside, "new"), name=directory.name, version=version, decoder=decoder)
        sha256 = hashlib.sha256((staged / "manifest.json").read_bytes()).hexdigest()
        directory.rename(Path(aside, "old"))
        staged.rename(directory)
    return sha256


def make_model(
    nodes: list[onnx.NodeProto],
    inputs: dict[str, list[str | int]],
    outputs: dict[str, list[str | int]],
    constants: dict[str, NDArray[np.generic]],
) -> onnx.ModelProto:
    """A checked float32 graph from its nodes; shapes mix names (dynamic) and sizes."""
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    onnx.checker.check_model(model)
    return model


def _direction(brightness: float) -> NDArray[np.float64]:
    """[E]: the unit embedding of a sound whose sample-to-sample change is `brightness` times its level (0..2)."""
    angle = brightness * np.pi / 4
    return np.array([np.cos(angle), np.sin(angle), *[0.0] * (EMBEDDING_DIM - 2)])


def _audio_encoder(samples: int) -> onnx.ModelProto:
    node = helper.make_node
    nodes = [
        node("Mul", ["waveform", "waveform"], ["square"]),
        node("ReduceMean", ["square", "time"], ["power"], keepdims=1),
        node("Sqrt", ["power"], ["rms"]),  # [B, 1]
        node("Slice", ["waveform", "one", "end", "time"], ["later"]),
        node("Slice", ["waveform", "zero", "minus_one", "time"], ["earlier"]),
        node("Sub", ["later", "earlier"], ["change"]),
        node("Mul", ["change", "change"], ["change_square"]),
        node("ReduceMean", ["change_square", "time"], ["change_power"], keepdims=1),
        node("Sqrt", ["change_power"], ["change_rms"]),
        node("Add", ["rms", "tiny"], ["rms_safe"]),
        node("Div", ["change_rms", "rms_safe"], ["brightness"]),  # [B, 1], 0..2
        node("Mul", ["brightness", "quarter_turn"], ["angle"]),
        node("Cos", ["angle"], ["low"]),
        node("Sin", ["angle"], ["high"]),
        node("Add", ["rms", "half_rms"], ["soft"]),
        node("Div", ["rms", "soft"], ["length"]),  # [B, 1], 0..1
        node("Concat", ["low", "high"], ["plane"], axis=1),
        node("Mul", ["plane", "length"], ["scaled"]),  # [B, 2]
        node("Pad", ["scaled", "pads"], ["embedding"]),  # [B, E]
    ]
    constants = {
        "time": np.array([1]),
        "zero": np.array([0]),
        "one": np.array([1]),
        "minus_one": np.array([-1]),
        "end": np.array([np.iinfo(np.int64).max]),
        "tiny": np.float32(1e-6),
        "quarter_turn": np.float32(np.pi / 4),
        "half_rms": np.float32(HALF_LENGTH_RMS),
        "pads": np.array([0, 0, 0, EMBEDDING_DIM - 2]),
    }
    arrays = {name: np.asarray(value) for name, value in constants.items()}
    return make_model(nodes, {"waveform": ["B", samples]}, {"embedding": ["B", EMBEDDING_DIM]}, arrays)


def _content_encoder() -> onnx.ModelProto:
    nodes = [helper.make_node("SpaceToDepth", ["image"], ["content"], blocksize=FOLD)]
    return make_model(nodes, {"image": ["B", 3, "H", "W"]}, {"content": ["B", CONTENT_CHANNELS, "h", "w"]}, {})


def make_decoder(factor: float = 1.0) -> onnx.ModelProto:
    """The colour shift, times `factor`."""
    node = helper.make_node
    nodes = [
        node("DepthToSpace", ["content"], ["image"], blocksize=FOLD),  # [B, 3, H, W]
        node("MatMul", ["embedding", "colours"], ["shift"]),  # [B, 3]
        node("Unsqueeze", ["shift", "space"], ["shift_everywhere"]),  # [B, 3, 1, 1]
        node("Add", ["image", "shift_everywhere"], ["shifted"]),
        node("Clip", ["shifted", "black", "white"], ["stylized"]),
    ]
    colours = np.zeros((EMBEDDING_DIM, 3), np.float32)
    colours[0], colours[1] = WARM_RGB, COOL_RGB
    colours *= factor
    constants = {
        "colours": colours,
        "space": np.array([2, 3]),
        "black": np.asarray(np.float32(0)),
        "white": np.asarray(np.float32(1)),
    }
    return make_model(nodes, DECODER_INPUTS, DECODER_OUTPUTS, constants)


DECODER_INPUTS: dict[str, list[str | int]] = {
    "content": ["B", CONTENT_CHANNELS, "h", "w"],
    "embedding": ["B", EMBEDDING_DIM],
}
DECODER_OUTPUTS: dict[str, list[str | int]] = {"stylized": ["B", 3, "H", "W"]}
