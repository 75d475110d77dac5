"""Half-precision graphs: fp32 at the doors, fp16 inside, close to the networks, and silent in silence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from export.__main__ import main
from export.graphs import read_graphs
from export.verify import compare
from service.model.bundle import FP16_GRAPHS, GRAPHS, load_bundle
from service.model.engine import Engine


@pytest.fixture(scope="module")
def half(run_checkpoint: Path, models: dict[str, onnx.ModelProto], tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("models") / "half"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("export.onnx.to_onnx", lambda _graphs: models)
        assert main([str(run_checkpoint), str(directory), "--precision", "fp16"]) == 0
    return directory


def test_the_engine_runs_it_and_it_is_close(half: Path, run_checkpoint: Path) -> None:
    engine = Engine(load_bundle(half), ["cpu"], allow_fallback=False)
    for difference in compare(read_graphs(run_checkpoint), engine, [(2, 64, 64), (1, 96, 160)]):
        assert difference.embedding < 5e-3
        assert difference.image < 5e-2


def test_it_differs_from_fp32_at_all(half: Path, run_checkpoint: Path) -> None:
    engine = Engine(load_bundle(half), ["cpu"], allow_fallback=False)
    (difference,) = compare(read_graphs(run_checkpoint), engine, [(1, 64, 64)])
    assert difference.content > 1e-5


def test_convolution_weights_are_fp16(half: Path) -> None:
    for name in ("content_encoder.onnx", "decoder.onnx"):
        graph = onnx.load(half / name).graph
        kinds = {i.name: i.data_type for i in graph.initializer}
        weights = [node.input[1] for node in graph.node if node.op_type == "Conv"]
        assert {kinds[w] for w in weights} == {TensorProto.FLOAT16}


def test_silence_still_returns_the_picture_exactly(half: Path) -> None:
    engine = Engine(load_bundle(half), ["cpu"], allow_fallback=False)
    image = np.random.default_rng(0).random((1, 3, 32, 32), dtype=np.float32)
    stylized = engine.decode(engine.encode(image), engine.embed(np.zeros((1, 48_000), np.float32)))
    assert np.abs(stylized - image).max() < 2 / 255


def test_the_manifest_says_so(half: Path) -> None:
    assert all((half / name).is_file() for name in GRAPHS)
    assert load_bundle(half).manifest.training["precision"] == "fp16"


def test_graphs_that_differ_too_much_are_not_exported(
    run_checkpoint: Path,
    models: dict[str, onnx.ModelProto],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spoilt = {name: onnx.ModelProto.FromString(model.SerializeToString()) for name, model in models.items()}
    head = next(
        one for one in spoilt["decoder.onnx"].graph.initializer if list(one.dims[:1]) == [4] and len(one.dims) == 4
    )
    head.CopyFrom(onnx.numpy_helper.from_array(-onnx.numpy_helper.to_array(head), head.name))
    monkeypatch.setattr("export.onnx.to_onnx", lambda _graphs: spoilt)
    assert main([str(run_checkpoint), str(tmp_path / "half"), "--precision", "fp16"]) == 1
    assert "differ from the networks by" in capsys.readouterr().err
    assert not (tmp_path / "half").exists()


class TestBoth:
    @pytest.fixture(scope="class")
    @staticmethod
    def both(
        run_checkpoint: Path, models: dict[str, onnx.ModelProto], tmp_path_factory: pytest.TempPathFactory
    ) -> Path:
        directory = tmp_path_factory.mktemp("models") / "both"
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("export.onnx.to_onnx", lambda _graphs: dict(models))
            patched.setattr("export.verify.SIZES", ((1, 64, 64),))
            assert main([str(run_checkpoint), str(directory), "--precision", "both"]) == 0
        return directory

    def test_a_bundle_holds_both_and_says_so(self, both: Path, half: Path) -> None:
        manifest = load_bundle(both).manifest
        assert set(manifest.fp16) == set(FP16_GRAPHS.values())
        assert manifest.training["precision"] == "both"
        for name, file in FP16_GRAPHS.items():
            assert (both / file).read_bytes() == (half / name).read_bytes()

    def test_the_engine_runs_either(self, both: Path) -> None:
        rng = np.random.default_rng(0)
        image, waveform = rng.random((1, 3, 64, 64), np.float32), rng.normal(0, 0.2, (1, 48_000)).astype(np.float32)
        full, halved = (
            engine.decode(engine.encode(image), engine.embed(waveform))
            for engine in (Engine(load_bundle(both), precision=precision) for precision in ("fp32", "fp16"))
        )
        assert 1e-6 < np.abs(full - halved).max() < 5e-2

    def test_an_export_without_fp16_takes_the_old_fp16_graphs_away(
        self, both: Path, run_checkpoint: Path, models: dict[str, onnx.ModelProto], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("export.onnx.to_onnx", lambda _graphs: dict(models))
        monkeypatch.setattr("export.verify.SIZES", ((1, 64, 64),))
        assert main([str(run_checkpoint), str(both)]) == 0
        assert not [path.name for path in both.glob("*.fp16.onnx")]
        assert not load_bundle(both).manifest.fp16
