"""The engine runs the three graphs, checks what it is given, and takes the first provider that loads."""

import hashlib
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper

from service.errors import BundleError, ProviderError
from service.model.bundle import AUDIO_ENCODER, CONTENT_ENCODER, DECODER, Bundle, load_bundle
from service.model.engine import Engine
from tests.support.media import make_noise, make_tone
from tests.support.tiny_bundle import (
    CONTENT_CHANNELS,
    EMBEDDING_DIM,
    make_decoder,
    make_model,
    replace_tiny_bundle,
    write_tiny_bundle,
)

CLIP_SAMPLES = 48_000


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(write_tiny_bundle(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture(scope="module")
def engine(bundle: Bundle) -> Engine:
    return Engine(bundle)


def replace_graph(bundle: Bundle, name: str, content: bytes) -> None:
    """Put other bytes in place of a graph and mend the manifest, so that only the engine can object."""
    (bundle.directory / name).write_bytes(content)
    path = bundle.directory / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["sha256"][name] = hashlib.sha256(content).hexdigest()
    path.write_text(json.dumps(manifest))


def test_a_batch_gives_what_its_members_give(engine: Engine) -> None:
    waveforms = np.stack([make_noise(3), make_tone(3)])
    together = engine.embed(waveforms)
    assert together.shape == (2, EMBEDDING_DIM)
    np.testing.assert_allclose(together[1:], engine.embed(waveforms[1:]), atol=1e-6)
    images = np.random.default_rng(0).random((2, 3, 16, 24), np.float32)
    stylized = engine.decode(engine.encode(images), together)
    np.testing.assert_allclose(stylized[1:], engine.decode(engine.encode(images[1:]), together[1:]), atol=1e-6)


def test_silence_embeds_to_zero_and_loud_sounds_towards_one(engine: Engine) -> None:
    silence, quiet, loud = np.linalg.norm(
        engine.embed(np.stack([np.zeros(CLIP_SAMPLES, np.float32), make_noise(3, rms=0.01), make_noise(3, rms=0.3)])),
        axis=1,
    )
    assert silence == 0
    assert 0 < quiet < loud < 1


def test_content_is_a_quarter_of_the_image(engine: Engine) -> None:
    assert engine.encode(np.zeros((1, 3, 16, 24), np.float32)).shape == (1, CONTENT_CHANNELS, 4, 6)


def test_arrays_of_any_layout_and_precision_are_taken(engine: Engine) -> None:
    image = np.random.default_rng(0).random((16, 24, 3)).transpose(2, 0, 1)[None]  # float64, not contiguous
    assert engine.encode(image).dtype == np.float32  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(CLIP_SAMPLES,), (1, CLIP_SAMPLES - 1), (1, 1, CLIP_SAMPLES)])
def test_a_waveform_of_another_length_is_refused(engine: Engine, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"not \[B, 48000\]"):
        engine.embed(np.zeros(shape, np.float32))


@pytest.mark.parametrize("shape", [(1, 3, 16, 20), (1, 3, 12, 16), (1, 4, 16, 16), (3, 16, 16)])
def test_an_image_of_another_form_is_refused(engine: Engine, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="multiples of 8"):
        engine.encode(np.zeros(shape, np.float32))


def test_an_embedding_for_another_batch_is_refused(engine: Engine) -> None:
    content = engine.encode(np.zeros((1, 3, 16, 16), np.float32))
    with pytest.raises(ValueError, match="embedding"):
        engine.decode(content, np.zeros((2, EMBEDDING_DIM), np.float32))


def test_an_output_beyond_the_contracts_is_ignored(bundle: Bundle, engine: Engine, tmp_path: Path) -> None:
    decoder = onnx.load(bundle.directory / DECODER)
    decoder.graph.node.append(helper.make_node("Neg", ["stylized"], ["reach"]))
    decoder.graph.output.append(helper.make_tensor_value_info("reach", onnx.TensorProto.FLOAT, ["B", 3, "H", "W"]))
    more = Engine(load_bundle(write_tiny_bundle(tmp_path / "more", decoder=decoder)))
    content, embedding = np.full((1, CONTENT_CHANNELS, 4, 6), 0.5, np.float32), engine.embed(make_tone(3)[None])
    assert np.array_equal(more.decode(content, embedding), engine.decode(content, embedding))


def test_threads_may_share_an_engine(engine: Engine) -> None:
    waveforms = [make_noise(3, seed=seed)[None] for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        shared = list(pool.map(engine.embed, waveforms))
    np.testing.assert_allclose(np.stack(shared), np.stack([engine.embed(waveform) for waveform in waveforms]))


def test_a_core_for_each_run_gives_the_same_images(bundle: Bundle) -> None:
    engine = Engine(bundle, threads=2)
    assert engine.lanes == 2
    assert engine.by_core.lanes == 1
    assert engine.by_core is engine.by_core
    images = np.random.default_rng(0).random((2, 3, 16, 24), np.float32)
    np.testing.assert_allclose(engine.by_core.encode(images), engine.encode(images), atol=1e-6)


def test_an_engine_on_one_core_needs_no_other(bundle: Bundle) -> None:
    engine = Engine(bundle, threads=1)
    assert engine.by_core is engine


def test_what_runs_is_what_was_verified_though_the_files_are_replaced(tmp_path: Path) -> None:
    engine = Engine(load_bundle(write_tiny_bundle(tmp_path / "tiny")), threads=2)
    content, embedding = np.full((1, CONTENT_CHANNELS, 4, 6), 0.5, np.float32), engine.embed(make_tone(3)[None])
    replace_tiny_bundle(tmp_path / "tiny", "2.0.0", make_decoder(-1.0))
    np.testing.assert_allclose(engine.by_core.decode(content, embedding), engine.decode(content, embedding), atol=1e-6)


def test_a_graph_that_is_replaced_between_its_check_and_its_opening_is_refused(tmp_path: Path) -> None:
    bundle = load_bundle(write_tiny_bundle(tmp_path / "tiny"))
    (bundle.directory / DECODER).write_bytes(make_decoder(-1.0).SerializeToString())
    with pytest.raises(BundleError, match=r"decoder.onnx has SHA-256 \w+, but manifest.json says"):
        Engine(bundle)


def test_weights_in_a_file_that_no_manifest_names_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = load_bundle(write_tiny_bundle(tmp_path / "tiny"))
    decoder = make_decoder()
    onnx.save(decoder, str(tmp_path / DECODER), save_as_external_data=True, size_threshold=64, location="weights.bin")
    assert (tmp_path / "weights.bin").stat().st_size > 0
    for folder in (bundle.directory, tmp_path):  # wherever a runtime would look for it
        (folder / "weights.bin").write_bytes((tmp_path / "weights.bin").read_bytes())
    replace_graph(bundle, DECODER, (tmp_path / DECODER).read_bytes())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BundleError, match=r"weights\.bin"):
        Engine(load_bundle(bundle.directory))


def test_a_warm_up_runs_every_graph(engine: Engine) -> None:
    engine.warm_up()


def test_the_runtime_and_the_provider_are_told(engine: Engine) -> None:
    assert engine.runtime == f"onnxruntime {ort.__version__}"
    assert engine.provider == "cpu"


@pytest.mark.skipif("CUDAExecutionProvider" in ort.get_available_providers(), reason="CUDA is here")
class TestWhereThereIsNoCuda:
    def test_a_request_that_cannot_be_met_falls_back_if_allowed(
        self, bundle: Bundle, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.INFO):
            assert Engine(bundle, ["cuda"], allow_fallback=True).provider == "cpu"
        assert "falling back to cpu: cuda is not in this build" in caplog.text
        assert "runs on cpu" in caplog.text

    def test_without_fallback_it_fails_and_says_what_to_do(self, bundle: Bundle) -> None:
        with pytest.raises(ProviderError, match=r"cuda is not in this build.*ADIS_PROVIDER_FALLBACK"):
            Engine(bundle, ["tensorrt", "cuda"], allow_fallback=False)

    def test_a_cpu_that_is_listed_is_no_fallback(self, bundle: Bundle) -> None:
        assert Engine(bundle, ["cuda", "cpu"], allow_fallback=False).provider == "cpu"


def test_the_first_provider_that_loads_wins(bundle: Bundle) -> None:
    assert Engine(bundle, ["cpu", "cuda"], allow_fallback=False).provider == "cpu"


def test_a_provider_that_is_built_in_but_does_not_start_is_passed_over(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """ONNX Runtime lists CUDA wherever its GPU build is installed, and only warns when the driver is missing."""
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    real = ort.InferenceSession

    def without_driver(graph: bytes, options: ort.SessionOptions, providers: list[Any]) -> ort.InferenceSession:
        return real(graph, options, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(ort, "InferenceSession", without_driver)
    with caplog.at_level(logging.WARNING):
        assert Engine(bundle, ["cuda"], allow_fallback=True).provider == "cpu"
    assert "cuda does not load (ONNX Runtime took CPUExecutionProvider instead)" in caplog.text
    with pytest.raises(ProviderError, match="took CPUExecutionProvider instead"):
        Engine(bundle, ["cuda"], allow_fallback=False)


def test_an_unknown_provider_is_refused(bundle: Bundle) -> None:
    with pytest.raises(ProviderError, match="abacus: no such provider; there are tensorrt, cuda, openvino, cpu"):
        Engine(bundle, ["abacus"])


def test_bytes_that_are_no_graph_are_the_bundles_fault(tmp_path: Path) -> None:
    written = load_bundle(write_tiny_bundle(tmp_path / "tiny"))
    replace_graph(written, DECODER, b"no graph")
    with pytest.raises(BundleError, match="cannot load the graphs"):
        Engine(load_bundle(written.directory))


def identity(source: str, target: str, shape: list[str | int]) -> onnx.ModelProto:
    return make_model([helper.make_node("Identity", [source], [target])], {source: shape}, {target: shape}, {})


@pytest.mark.parametrize(
    ("name", "graph", "reason"),
    [
        (CONTENT_ENCODER, identity("image_in", "content", ["B", 3, "H", "W"]), "maps image_in to content; .* image to"),
        (AUDIO_ENCODER, identity("waveform", "embedding", ["B", CLIP_SAMPLES]), "embedding has 48000 numbers"),
        (AUDIO_ENCODER, identity("waveform", "embedding", ["B", EMBEDDING_DIM]), "waveform has 8 numbers"),
    ],
)
def test_a_graph_of_another_signature_is_refused(
    tmp_path: Path, name: str, graph: onnx.ModelProto, reason: str
) -> None:
    written = load_bundle(write_tiny_bundle(tmp_path / "tiny"))
    replace_graph(written, name, graph.SerializeToString())
    with pytest.raises(BundleError, match=reason):
        Engine(load_bundle(written.directory))
