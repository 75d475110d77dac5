"""The small graphs that the engine puts around a bundle's: `python -m export.adapters` writes them into the service.

They run on the provider's device, so that what is already there need not be fetched, and an image goes up as bytes.
`pixels.onnx`: `pixels` uint8 [B, H, W, 3] -> `image` float32 [B, 3, H, W] in 0..1.
`repeat.onnx`: `one` float32 [1, C, H, W] and `shape` int64 [4] -> `many` float32 [B, C, H, W].
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

OPSET = 18
FOLDER = Path(__file__).parents[1] / "service" / "model" / "adapters"


def adapters() -> dict[str, ModelProto]:
    """Both graphs by file name, checked."""
    node, tensor = helper.make_node, helper.make_tensor_value_info
    pixels = helper.make_graph(
        [
            node("Transpose", ["pixels"], ["planes"], perm=[0, 3, 1, 2]),
            node("Cast", ["planes"], ["values"], to=TensorProto.FLOAT),
            node("Div", ["values", "white"], ["image"]),
        ],
        "pixels",
        [tensor("pixels", TensorProto.UINT8, ["B", "H", "W", 3])],
        [tensor("image", TensorProto.FLOAT, ["B", 3, "H", "W"])],
        [numpy_helper.from_array(np.asarray(255, np.float32), "white")],
    )
    repeat = helper.make_graph(
        [node("Expand", ["one", "shape"], ["many"])],
        "repeat",
        [tensor("one", TensorProto.FLOAT, [1, "C", "H", "W"]), tensor("shape", TensorProto.INT64, [4])],
        [tensor("many", TensorProto.FLOAT, ["B", "C", "H", "W"])],
    )
    models = {}
    for graph in (pixels, repeat):
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
        onnx.checker.check_model(model, full_check=True)
        models[f"{graph.name}.onnx"] = model
    return models


if __name__ == "__main__":
    for name, model in adapters().items():
        (FOLDER / name).write_bytes(model.SerializeToString())
