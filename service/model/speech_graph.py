"""Make of Silero's voice detector, which hears 32 ms a run, a graph that hears a whole sound in one.

The detector is a small network (a spectrum, four convolutions over its frames, an LSTM, one neuron) inside a graph that
takes one chunk and the LSTM's state. Its weights are taken out of it once: here the frames of all chunks are multiplied
at once, and the LSTM goes through the chunks as its sequence. Their probabilities stay what they were.
"""

from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from service.model.speech import CHUNK_SAMPLES, CONTEXT_SAMPLES

FloatArray = NDArray[np.float32]

_MIRRORED_SAMPLES: Final = 64  # at the end of each chunk
_HOP_SAMPLES: Final = 128  # a frame of the spectrum is two of them long
_FRAMES: Final = 4  # of each chunk
_FREQUENCIES: Final = 129  # as many real parts, then as many imaginary ones
_STRIDES: Final = (1, 2, 2, 1)  # of the convolutions
_HIDDEN_SIZE: Final = 128
_OPSET: Final = 17


def whole_sound_graph(detector: bytes) -> bytes:
    """`chunks` [n, CONTEXT_SAMPLES + CHUNK_SAMPLES] in their order -> `probabilities` [n] of speech, 0..1.

    detector: Silero's graph for 16 kHz, as serialised. Raises KeyError if its weights are not called as they were.
    """
    initializers = onnx.load_from_string(detector).graph.initializer
    stored = {tensor.name.removeprefix("model."): numpy_helper.to_array(tensor) for tensor in initializers}
    graph = _Graph()
    frames = _spectrum(graph, stored["stft.forward_basis_buffer"])  # [n, 4, 129]
    count = _FRAMES
    for layer, stride in enumerate(_STRIDES):
        weight, bias = (stored[f"encoder.{layer}.reparam_conv.{kind}"] for kind in ("weight", "bias"))
        frames = _convolution(graph, frames, count, stride, weight, bias)
        count //= stride
    states = graph.add("LSTM", frames, *_lstm_weights(stored), hidden_size=_HIDDEN_SIZE)  # [n, 1, 1, 128]
    states = graph.add("Relu", graph.add("Reshape", states, np.array([-1, _HIDDEN_SIZE])))
    neuron = graph.add("MatMul", states, stored["decoder.decoder.2.weight"].reshape(_HIDDEN_SIZE, 1))
    neuron = graph.add("Sigmoid", graph.add("Add", neuron, stored["decoder.decoder.2.bias"]))  # [n, 1]
    graph.add("Reshape", neuron, np.array([-1]), output="probabilities")
    return graph.serialised()


class _Graph:
    """A graph in the making."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def add(self, kind: str, *inputs: str | NDArray[Any], output: str = "", **attributes: Any) -> str:
        """Add a node; inputs are names or constants. Returns the name of its output."""
        names = [given if isinstance(given, str) else self._constant(given) for given in inputs]
        output = output or f"value{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, names, [output], **attributes))
        return output

    def slice(self, value: str, start: int, stop: int, step: int, axis: int) -> str:
        """value[start:stop:step] along that axis."""
        return self.add("Slice", value, *(np.array([number]) for number in (start, stop, axis, step)))

    def serialised(self) -> bytes:
        """The model of `chunks` and `probabilities`."""
        chunk = helper.make_tensor_value_info("chunks", TensorProto.FLOAT, ["n", CONTEXT_SAMPLES + CHUNK_SAMPLES])
        made = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n"])
        graph = helper.make_graph(self._nodes, "speech", [chunk], [made], self._constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=9)
        content: bytes = model.SerializeToString()
        return content

    def _constant(self, array: NDArray[Any]) -> str:
        name = f"constant{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(array, name))
        return name


def _spectrum(graph: _Graph, basis: FloatArray) -> str:
    """Magnitudes of each chunk, [n, 4, 129]. basis: [258, 1, 256]."""
    mirrored = graph.add("Pad", "chunks", np.array([0, 0, 0, _MIRRORED_SAMPLES]), mode="reflect")
    hops = graph.add("Reshape", mirrored, np.array([-1, _FRAMES + 1, _HOP_SAMPLES]))
    halves = [graph.slice(hops, start, start + _FRAMES, 1, axis=1) for start in (0, 1)]
    parts = graph.add("MatMul", graph.add("Concat", *halves, axis=2), basis[:, 0].T)  # [n, 4, 258]
    bounds = ((0, _FREQUENCIES), (_FREQUENCIES, 2 * _FREQUENCIES))
    squares = [graph.add("Mul", part, part) for part in (graph.slice(parts, *pair, 1, axis=2) for pair in bounds)]
    return graph.add("Sqrt", graph.add("Add", *squares))


def _convolution(graph: _Graph, frames: str, count: int, stride: int, weight: FloatArray, bias: FloatArray) -> str:
    """[n, count, in] -> [n, count / stride, out], over each frame and its neighbours. weight: [out, in, 3].

    As one product of all frames: of one chunk there is too little for ONNX Runtime's own convolution to be fast.
    """
    padded = graph.add("Pad", frames, np.array([0, 1, 0, 0, 1, 0]))
    taps = [graph.slice(padded, tap, tap + count, stride, axis=1) for tap in range(weight.shape[2])]
    product = graph.add("MatMul", graph.add("Concat", *taps, axis=2), np.concatenate(weight.transpose(2, 1, 0)))
    return graph.add("Relu", graph.add("Add", product, bias))


def _lstm_weights(stored: dict[str, FloatArray]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Of the inputs, of the states, and the biases of both."""
    biases = [_by_onnx_gates(stored[f"decoder.rnn.bias_{side}"]) for side in ("ih", "hh")]
    weights = [_by_onnx_gates(stored[f"decoder.rnn.weight_{side}"])[None] for side in ("ih", "hh")]
    return weights[0], weights[1], np.concatenate(biases)[None]


def _by_onnx_gates(rows: FloatArray) -> FloatArray:
    """PyTorch's gates (input, forget, cell, output) in ONNX's order: input, output, forget, cell."""
    into, forget, cell, out = np.split(rows, 4)
    return np.concatenate([into, out, forget, cell])
