"""What the service's engine computes of a bundle is what the networks compute."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from export.__main__ import main
from export.folding import FoldedConvolution, folds
from export.graphs import read_graphs
from export.verify import TOLERANCE_FP32, compare
from service.model.bundle import GRAPHS, load_bundle
from service.model.engine import Engine
from tests.export.conftest import small, write_checkpoint
from training.kinds import kind_of

CLIP_SAMPLES = 48_000
SIZES = ((1, 8, 8), (3, 8, 48), (2, 200, 328), (1, 504, 640), (5, 64, 64))  # batch, height, width


def engine_of(directory: Path) -> Engine:
    return Engine(load_bundle(directory), ["cpu"], allow_fallback=False)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}x{size[2]}")
def test_the_graphs_equal_the_networks(run_checkpoint: Path, bundle: Path, size: tuple[int, int, int]) -> None:
    (difference,) = compare(read_graphs(run_checkpoint), engine_of(bundle), [size])
    assert difference.largest < TOLERANCE_FP32


def test_the_averaged_weights_are_what_is_exported(run_checkpoint: Path, bundle: Path) -> None:
    values = torch.load(run_checkpoint, weights_only=True)
    config = small("smoke-scene")
    networks = kind_of(config).networks(config).eval()
    generator, encoder = networks.generator, networks.audio_encoder
    weights = values["ema"]
    generator.load_state_dict({k[len("generator.") :]: v for k, v in weights.items() if k.startswith("generator.")})
    encoder.load_state_dict({k[len("audio_encoder.") :]: v for k, v in weights.items() if k.startswith("audio_")})
    rng = np.random.default_rng(0)
    image = rng.random((1, 3, 32, 64), dtype=np.float32)
    waveform = rng.normal(0, 0.1, (1, CLIP_SAMPLES)).astype(np.float32)
    with torch.no_grad():
        expected = generator(torch.from_numpy(image) * 2 - 1, encoder(torch.from_numpy(waveform)))
    engine = engine_of(bundle)
    served = engine.decode(engine.encode(image), engine.embed(waveform))
    assert np.abs(served - ((expected + 1) / 2).clamp(0, 1).numpy()).max() < TOLERANCE_FP32


def test_silence_returns_the_picture(bundle: Path) -> None:
    engine = engine_of(bundle)
    image = np.random.default_rng(0).random((1, 3, 64, 64), dtype=np.float32)
    embedding = engine.embed(np.zeros((1, CLIP_SAMPLES), np.float32))
    assert np.linalg.norm(embedding) < 1e-3
    assert np.abs(engine.decode(engine.encode(image), embedding) - image).max() < 2 / 255


def test_results_stay_within_0_and_1(bundle: Path) -> None:
    engine = engine_of(bundle)
    image = np.zeros((2, 3, 64, 64), np.float32)
    image[1] = 1
    loud = np.random.default_rng(0).uniform(-1, 1, (2, CLIP_SAMPLES)).astype(np.float32)
    stylized = engine.decode(engine.encode(image), engine.embed(loud))
    assert stylized.min() >= 0
    assert stylized.max() <= 1


def test_one_content_serves_several_sounds(bundle: Path) -> None:
    engine = engine_of(bundle)
    rng = np.random.default_rng(0)
    content = engine.encode(rng.random((1, 3, 32, 32), dtype=np.float32))
    embeddings = engine.embed(rng.normal(0, 0.1, (3, CLIP_SAMPLES)).astype(np.float32))
    together = engine.decode(np.repeat(content, 3, axis=0), embeddings)
    for number in range(3):
        alone = engine.decode(content, embeddings[number : number + 1])
        assert np.abs(alone[0] - together[number]).max() < 1e-5


def test_no_norm_of_the_picture_is_left_and_each_padding_is_one_node(bundle: Path) -> None:
    graph = onnx.load(bundle / "decoder.onnx").graph
    kinds = [node.op_type for node in graph.node]
    assert "InstanceNormalization" not in kinds
    assert kinds.count("Pad") <= kinds.count("Conv")
    assert not {"Loop", "If", "Scan"} & set(kinds)


def test_graphs_carry_their_weights_and_no_paths(bundle: Path) -> None:
    assert not list(bundle.glob("*.data"))
    for name in GRAPHS:
        data = (bundle / name).read_bytes()
        assert not re.search(rb"site-packages|\.py\b|/home/|/work/|/root/", data)
        model = onnx.load_from_string(data)
        onnx.checker.check_model(model, full_check=True)


def test_the_paper_preset_exports_too(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "paper.pt", small("paper"))
    assert main([str(path), str(tmp_path / "paper")]) == 0
    differences = compare(read_graphs(path), engine_of(tmp_path / "paper"), [(2, 64, 96)])
    assert differences[0].largest < TOLERANCE_FP32


@pytest.mark.parametrize(("outputs", "expected"), [(3, (2, 2)), (4, (2, 2)), (5, (1, 2)), (12, (1, 1))])
def test_a_folded_convolution_computes_the_same(outputs: int, expected: tuple[int, int]) -> None:
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(6, outputs, 7, padding=3, padding_mode="reflect")
    first, second = torch.randn(2, 4, 16, 24), torch.randn(2, 2, 16, 24)
    assert folds(outputs) == expected
    assert torch.allclose(
        FoldedConvolution(conv, [4, 2])(first, second), conv(torch.cat([first, second], dim=1)), atol=1e-5
    )
