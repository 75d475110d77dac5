"""The graphs beside a bundle's that the service carries are those that the code describes."""

from export.adapters import FOLDER, adapters


def test_the_service_carries_what_the_code_describes() -> None:
    described = {name: model.SerializeToString() for name, model in adapters().items()}
    assert {path.name: path.read_bytes() for path in FOLDER.glob("*.onnx")} == described
