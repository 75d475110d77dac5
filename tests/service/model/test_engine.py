"""The engine runs the three graphs and checks what it is given."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from service.errors import BundleError
from service.model.bundle import AUDIO_ENCODER, CONTENT_ENCODER, DECODER, Bundle, load_bundle
from service.model.cuda_versions import CudaVersions
from service.model.engine import Engine
from tests.support.media import make_noise, make_tone
from tests.support.tiny_bundle import (
    CONTENT_CHANNELS,
    DECODER_INPUTS,
    DECODER_OUTPUTS,
    EMBEDDING_DIM,
    make_decoder,
    make_model,
    replace_tiny_bundle,
    write_tiny_bundle,
)

CLIP_SAMPLES = 48_000
FITTING = CudaVersions(("onnxruntime-gpu 1.31.1",), (13, 0), (13, 0), None, (9, 0), (13, 0), (9, 24))


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
    assert np.asarray(engine.encode(image)).dtype == np.float32


@pytest.mark.parametrize("shape", [(CLIP_SAMPLES,), (1, CLIP_SAMPLES - 1), (1, 1, CLIP_SAMPLES)])
def test_a_waveform_of_another_length_is_refused(engine: Engine, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"not \[B, 48000\]"):
        engine.embed(np.zeros(shape, np.float32))


@pytest.mark.parametrize("shape", [(1, 3, 16, 20), (1, 3, 12, 16), (1, 4, 16, 16), (3, 16, 16)])
def test_an_image_of_another_form_is_refused(engine: Engine, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="multiples of 8"):
        engine.encode(np.zeros(shape, np.float32))


@pytest.mark.parametrize("shape", [(1, 16, 20, 3), (1, 12, 16, 3), (1, 16, 16, 4), (16, 16, 3), (1, 3, 16, 16)])
def test_bytes_of_another_form_are_refused(engine: Engine, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"not \[B, H, W, 3\] with H and W multiples of 8"):
        engine.encode(np.zeros(shape, np.uint8))


def test_bytes_give_what_their_floats_give(engine: Engine) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 16, 24, 3), np.uint8)
    floats = pixels.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(engine.encode(pixels), engine.encode(floats))


def test_content_stays_on_the_device_and_can_be_fetched(engine: Engine) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 16, 24, 3), np.uint8)
    content = engine.encode(pixels)
    assert (len(content), content.ndim, content.device) == (2, 4, "cpu")
    embedding = engine.embed(np.stack([make_noise(3), make_tone(3)]))
    np.testing.assert_array_equal(engine.decode(content, embedding), engine.decode(np.asarray(content), embedding))


def test_one_content_serves_a_batch_of_embeddings(engine: Engine) -> None:
    content = engine.encode(np.random.default_rng(0).random((1, 3, 16, 24), np.float32))
    embeddings = engine.embed(np.stack([make_noise(3), make_tone(3), make_tone(3, amplitude=0.01)]))
    together = engine.decode(content, embeddings)
    alone = [engine.decode(content, embedding[None])[0] for embedding in embeddings]
    np.testing.assert_allclose(together, np.stack(alone), atol=1e-6)
    assert np.abs(together[0] - together[1]).max() > 0.1


def test_a_result_does_not_change_with_the_next_run(engine: Engine) -> None:
    """It lies in memory of its own, not in the session's."""
    waveforms = np.stack([make_noise(3), make_tone(3)])
    first, content = engine.embed(waveforms[:1]), engine.encode(np.full((1, 3, 16, 16), 0.25, np.float32))
    kept_embedding, kept_content = first.copy(), np.asarray(content).copy()
    engine.embed(waveforms[1:])
    engine.encode(np.full((1, 3, 16, 16), 0.75, np.float32))
    np.testing.assert_array_equal(first, kept_embedding)
    np.testing.assert_array_equal(content, kept_content)


def test_a_batch_has_as_many_images_as_memory_allows(engine: Engine) -> None:
    assert [engine.images_at_once(side, side) for side in (64, 200, 256, 400, 4096)] == [8, 4, 2, 1, 1]


def test_what_does_not_fit_in_memory_is_a_memory_error(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("DepthToSpace", ["content"], ["image"], blocksize=4),
        helper.make_node("Expand", ["image", "shape"], ["vast"]),
        helper.make_node("ReduceMax", ["vast", "first"], ["most"], keepdims=1),
        helper.make_node("ReduceMax", ["embedding"], ["loudest"]),
        helper.make_node("Mul", ["most", "loudest"], ["stylized"]),
    ]
    constants = {"shape": np.array([2**33, 1, 1, 1]), "first": np.array([0])}
    decoder = make_model(nodes, DECODER_INPUTS, DECODER_OUTPUTS, constants)
    engine = Engine(load_bundle(write_tiny_bundle(tmp_path / "vast", decoder=decoder)))
    content, embedding = engine.encode(np.zeros((1, 3, 8, 8), np.float32)), engine.embed(make_tone(3)[None])
    with pytest.raises(MemoryError, match="stylized does not fit in the memory of cpu"):
        engine.decode(content, embedding)


def test_an_embedding_for_another_batch_is_refused(engine: Engine) -> None:
    content = engine.encode(np.zeros((2, 3, 16, 16), np.float32))
    for shape in ((3, EMBEDDING_DIM), (1, EMBEDDING_DIM), (2, EMBEDDING_DIM + 1), (EMBEDDING_DIM,)):
        with pytest.raises(ValueError, match="embedding"):
            engine.decode(content, np.zeros(shape, np.float32))


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
