"""Half-precision graphs for GPUs: weights and arithmetic in fp16, inputs and outputs and what is delicate in fp32."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import onnx
from onnx import ModelProto, NodeProto, TensorProto
from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

# Sums over a whole image or clip, and functions that magnify what rounding leaves of their argument.
DELICATE = ("InstanceNormalization", "ReduceL2", "ReduceMean", "Pow", "Sqrt", "Reciprocal", "Log", "Sigmoid", "Resize")
WEIGHTED = ("Conv", "Gemm", "MatMul")


def to_half(model: ModelProto) -> ModelProto:
    """The graph in fp16, with fp32 inputs and outputs; `model` is left as it is.

    What feeds a logarithm (the spectrogram, the image's own tone) stays in fp32, and so does what reaches an output
    without passing a convolution (the source's pixels, mask and blend): silence still returns the source.
    """
    copy = ModelProto()
    copy.CopyFrom(model)
    nodes = copy.graph.node
    for number, node in enumerate(nodes):
        node.name = f"{node.op_type}_{number}"
    logarithms = [name for node in nodes if node.op_type == "Log" for name in node.output]
    kept = _feeding(nodes, logarithms) | _feeding(nodes, [out.name for out in copy.graph.output], stop_at=WEIGHTED)
    kept |= {node.name for node in nodes if node.op_type in (*DELICATE, *DEFAULT_OP_BLOCK_LIST)}
    _own_constants(copy, kept)
    half: ModelProto = convert_float_to_float16(copy, keep_io_types=True, node_block_list=sorted(kept))
    _drop_round_trips(half)
    OnnxModel.graph_topological_sort(half.graph)
    onnx.checker.check_model(half, full_check=True)
    return half


def _feeding(nodes: Iterable[NodeProto], values: Iterable[str], stop_at: Collection[str] = ()) -> set[str]:
    """Names of the nodes that `values` are computed from; nodes of the kinds `stop_at`, and theirs, are left out."""
    maker = {output: node for node in nodes for output in node.output}
    names: set[str] = set()
    waiting = list(values)
    while waiting:
        node = maker.get(waiting.pop())
        if node is not None and node.name not in names and node.op_type not in stop_at:
            names.add(node.name)
            waiting += node.input
    return names


def _own_constants(model: ModelProto, kept: Collection[str]) -> None:
    """Give the nodes in `kept` constants of their own, since one that is shared would be rounded for all."""
    constants = {initializer.name: initializer for initializer in model.graph.initializer}
    for node in model.graph.node:
        if node.name in kept:
            for place, name in enumerate(node.input):
                if name in constants:
                    copy = model.graph.initializer.add()
                    copy.CopyFrom(constants[name])
                    copy.name = node.input[place] = f"{name}_{node.name}_{place}"
    used = {name for node in model.graph.node for name in node.input}
    for name, initializer in constants.items():
        if name not in used:
            model.graph.initializer.remove(initializer)


def _drop_round_trips(model: ModelProto) -> None:
    """fp32 -> fp16 -> fp32 loses digits and does nothing else: take the value from before, and drop unused casts."""
    nodes = model.graph.node
    narrowed = {n.output[0]: n.input[0] for n in nodes if _casts_to(n, TensorProto.FLOAT16)}
    widened = {
        n.output[0]: narrowed[n.input[0]] for n in nodes if _casts_to(n, TensorProto.FLOAT) and n.input[0] in narrowed
    }
    for node in nodes:
        for place, name in enumerate(node.input):
            if name in widened:
                node.input[place] = widened[name]
    outputs = {output.name for output in model.graph.output}
    for node in nodes:
        if node.output[0] in widened and node.output[0] in outputs:
            node.op_type = "Identity"
            node.input[0] = widened[node.output[0]]
            del node.attribute[:]
    used = {name for node in nodes for name in node.input} | outputs
    for node in [n for n in nodes if n.op_type == "Cast" and n.output[0] not in used]:
        nodes.remove(node)


def _casts_to(node: NodeProto, kind: int) -> bool:
    return node.op_type == "Cast" and any(a.name == "to" and a.i == kind for a in node.attribute)
