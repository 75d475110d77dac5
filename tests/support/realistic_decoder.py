"""A decoder with the memory shape of a real one: instance norms, and 32 channels at the image's full size."""

import numpy as np
import onnx
from onnx import helper

from tests.support.tiny_bundle import CONTENT_CHANNELS, DECODER_INPUTS, DECODER_OUTPUTS, FOLD, make_model


def realistic_decoder(width: int = 32, seed: int = 0, change: float = 0.15) -> onnx.ModelProto:
    """content -> 4 * width channels -> twice enlarged -> a change of at most about `change`, scaled by the embedding.

    The weights are random, so the change is a texture; silence changes nothing.
    """
    rng = np.random.default_rng(seed)
    node = helper.make_node
    constants: dict[str, np.ndarray] = {
        "twice": np.array([1, 1, 2, 2], np.float32),
        "space": np.array([2, 3]),
        "channel": np.array([1]),
        "black": np.asarray(np.float32(0)),
        "white": np.asarray(np.float32(1)),
        "change": np.asarray(np.float32(change)),
    }
    nodes = []

    def layer(source: str, name: str, inputs: int, outputs: int, kernel: int) -> str:
        weight = rng.normal(0, (2 / (inputs * kernel * kernel)) ** 0.5, (outputs, inputs, kernel, kernel))
        constants[f"{name}_weight"] = weight.astype(np.float32)
        constants[f"{name}_scale"] = np.ones(outputs, np.float32)
        constants[f"{name}_shift"] = np.zeros(outputs, np.float32)
        pads = [kernel // 2] * 4
        nodes.append(node("Conv", [source, f"{name}_weight"], [f"{name}_conv"], pads=pads))
        norm_inputs = [f"{name}_conv", f"{name}_scale", f"{name}_shift"]
        nodes.append(node("InstanceNormalization", norm_inputs, [f"{name}_norm"]))
        nodes.append(node("Relu", [f"{name}_norm"], [name]))
        return name

    last = layer("content", "deep", CONTENT_CHANNELS, 4 * width, 3)
    for index, (inputs, outputs) in enumerate([(4 * width, 2 * width), (2 * width, width)]):
        nodes.append(node("Resize", [last, "", "twice"], [f"enlarged{index}"], mode="nearest"))
        last = layer(f"enlarged{index}", f"up{index}", inputs, outputs, 3)
    constants["head_weight"] = rng.normal(0, 0.05, (3, width, 7, 7)).astype(np.float32)
    nodes += [
        node("Conv", [last, "head_weight"], ["head"], pads=[3] * 4),
        node("Tanh", ["head"], ["bounded"]),
        node("Mul", ["embedding", "embedding"], ["squares"]),
        node("ReduceSum", ["squares", "channel"], ["square"], keepdims=1),
        node("Sqrt", ["square"], ["length"]),  # [B, 1]
        node("Mul", ["length", "change"], ["amount"]),
        node("Unsqueeze", ["amount", "space"], ["amount_everywhere"]),
        node("Mul", ["bounded", "amount_everywhere"], ["difference"]),
        node("DepthToSpace", ["content"], ["image"], blocksize=FOLD),
        node("Add", ["image", "difference"], ["changed"]),
        node("Clip", ["changed", "black", "white"], ["stylized"]),
    ]
    return make_model(nodes, DECODER_INPUTS, DECODER_OUTPUTS, constants)
