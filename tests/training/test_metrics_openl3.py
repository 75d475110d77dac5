"""OpenL3's towers read Keras files of the published layout and compute what such layers compute."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.support.media import write_wav
from training.checkpoint import CheckpointError
from training.evaluation.metrics import openl3
from training.evaluation.metrics.avc import OpenL3Correspondence
from training.evaluation.metrics.windows import Window

Array = NDArray[np.float32]


@dataclass
class Layers:
    """A Keras tower's weights: `norms` [gamma, beta, mean, variance], `convolutions` [kernel, bias]."""

    norms: list[list[Array]]
    convolutions: list[list[Array]]


def plain(channels: int, widths: Sequence[int] = openl3.WIDTHS) -> Layers:
    """Layers that hand on the first channel and change nothing: norms of 1, kernels of their middle."""
    norms, convolutions = [], []
    for inputs, outputs in widths_of(channels, widths):
        norms.append([np.ones(inputs), np.zeros(inputs), np.zeros(inputs), np.full(inputs, 1 - 1e-3)])
        kernel = np.zeros((3, 3, inputs, outputs))
        kernel[1, 1, 0, :] = 1
        convolutions.append([kernel, np.zeros(outputs)])
    as_float = [[np.asarray(v, np.float32) for v in layer] for layer in norms + convolutions]
    return Layers(as_float[: len(norms)], as_float[len(norms) :])


def random_layers(channels: int, seed: int) -> Layers:
    rng = np.random.default_rng(seed)
    layers = plain(channels)
    for convolution in layers.convolutions:
        fan = convolution[0].shape[2] * 9
        convolution[0] = rng.normal(0, math.sqrt(2 / fan), convolution[0].shape).astype(np.float32)
    return layers


def widths_of(channels: int, widths: Sequence[int]) -> list[tuple[int, int]]:
    pairs = []
    for width in widths:
        pairs += [(channels, width), (width, width)]
        channels = width
    return pairs


def write_keras(path: Path, layers: Layers, spectrogram: bool = False, as_bytes: bool = True) -> Path:
    """As Keras's `save_weights` lays a file out: an attribute with the layers' names, one a layer with its weights'."""

    def names(values: list[str]) -> list[str] | NDArray[np.bytes_]:
        return np.array([value.encode() for value in values]) if as_bytes else values

    norm_weights = ("gamma", "beta", "moving_mean", "moving_variance")
    written: list[tuple[str, dict[str, Array]]] = [("input_1", {})]
    if spectrogram:
        kernels = np.zeros((512, 1, 1, 257), np.float32)
        written.append(("spectrogram_1", {"real_kernels": kernels, "imag_kernels": kernels}))
    for number, (norm, convolution) in enumerate(zip(layers.norms, layers.convolutions, strict=True), 7):
        last = number == 6 + len(layers.norms)
        written.append((f"batch_normalization_{number}", dict(zip(norm_weights, norm, strict=True))))
        name = "audio_embedding_layer" if last else f"conv2d_{number}"
        written.append((name, dict(zip(("kernel", "bias"), convolution, strict=True))))
        written.append((f"activation_{number}", {}))
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = names([name for name, _ in written])
        for name, weights in written:
            group = file.create_group(name)
            group.attrs["weight_names"] = names([f"{name}/{weight}:0" for weight in weights])
            for weight, value in weights.items():
                group.create_dataset(f"{name}/{weight}:0", data=value)
    return path


def test_layers_that_change_nothing_give_the_maximum(tmp_path: Path) -> None:
    tower = openl3.audio_tower(write_keras(tmp_path / "audio.h5", plain(1)))
    x = torch.zeros(2, 1, 257, 197)
    x[0, 0, 100, 50], x[1, 0, 20, 150] = 0.75, 0.25
    given = tower(x)
    assert given.shape == (2, 512)
    assert torch.allclose(given, torch.tensor([[0.75], [0.25]]).expand(2, 512), atol=1e-5)


@pytest.mark.parametrize(("tap", "seen"), [((2, 1), 1.0), ((0, 1), 0.0), ((1, 2), 1.0)])
def test_a_kernels_rows_are_rows(tap: tuple[int, int], seen: float, tmp_path: Path) -> None:
    layers = plain(3)
    kernel = layers.convolutions[0][0]
    kernel[:] = 0
    kernel[tap[0], tap[1], 0, :] = 1  # (0, 1) moves what it sees one row down, so what was in the last row is lost
    x = torch.zeros(1, 3, 224, 224)
    x[0, 0, 223, 100] = 1
    tower = openl3.image_tower(write_keras(tmp_path / "image.h5", layers))
    assert tower(x).max().item() == pytest.approx(seen, abs=1e-5)


def test_the_image_towers_second_norm_alone_follows_its_relu(tmp_path: Path) -> None:
    given = []
    for channels, load in ((1, openl3.audio_tower), (3, openl3.image_tower)):
        layers = plain(channels)
        layers.convolutions[1][1][:] = -0.5
        layers.norms[2][1][:] = 1
        path = write_keras(tmp_path / f"{channels}.h5", layers)
        given.append(load(path)(torch.zeros(1, channels, 32, 32)).max().item())
    # norm, then ReLU: max(0, -0.5 + 1); ReLU, then norm: max(0, -0.5) + 1
    assert given == pytest.approx([0.5, 1.0], abs=1e-4)


def test_the_statistics_of_a_norm_are_used(tmp_path: Path) -> None:
    layers = plain(1)
    layers.norms[0] = [np.float32([v]) for v in (3.0, 0.5, 2.0, 4.0 - 1e-3)]
    tower = openl3.audio_tower(write_keras(tmp_path / "audio.h5", layers))
    assert tower(torch.full((1, 1, 32, 32), 4.0)).max().item() == pytest.approx(3 * (4 - 2) / 2 + 0.5, rel=1e-4)


def test_an_older_file_with_its_spectrogram_and_other_names_is_the_same(tmp_path: Path) -> None:
    layers = random_layers(1, seed=1)
    new = openl3.audio_tower(write_keras(tmp_path / "new.h5", layers))
    old = openl3.audio_tower(write_keras(tmp_path / "old.h5", layers, spectrogram=True, as_bytes=False))
    x = torch.rand(1, 1, 64, 64)
    assert torch.equal(new(x), old(x))
    assert new(x).std() > 0


def test_the_other_tower_is_refused(tmp_path: Path) -> None:
    path = write_keras(tmp_path / "image.h5", plain(3))
    with pytest.raises(CheckpointError, match="is it the other one"):
        openl3.audio_tower(path)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.h5").write_text("no weights")
    for path in (tmp_path / "text.h5", tmp_path / "missing.h5"):
        with pytest.raises(CheckpointError, match="not a readable file of Keras weights"):
            openl3.audio_tower(path)


def test_a_net_of_another_depth_is_refused(tmp_path: Path) -> None:
    path = write_keras(tmp_path / "shallow.h5", plain(1, (64, 128)))
    with pytest.raises(CheckpointError, match="4 norms and 4 convolutions"):
        openl3.audio_tower(path)


def test_decibels_are_ten_times_the_logarithm_of_the_magnitude() -> None:
    seconds = torch.arange(3 * 48_000) / 48_000
    # bins 32 and 128 of 512 points at 48 kHz
    tones = torch.sin(2 * math.pi * 3_000 * seconds) + 0.1 * torch.sin(2 * math.pi * 12_000 * seconds)
    spectrogram = openl3.decibel_spectrogram(tones)
    assert spectrogram.shape == (26, 1, 257, 197)
    middle = spectrogram[12, 0, :, 100]
    assert middle[32].item() == pytest.approx(0, abs=0.1)
    assert middle[128].item() == pytest.approx(-10, abs=0.1)
    assert spectrogram.min().item() == -80
    assert spectrogram.amax(dim=(1, 2, 3)).tolist() == [0] * 26


def test_a_sound_shorter_than_a_window_is_filled_up() -> None:
    assert openl3.decibel_spectrogram(torch.rand(9_600) - 0.5).shape == (1, 1, 257, 197)


def test_a_large_image_is_brought_to_256_and_its_middle_taken() -> None:
    image = torch.zeros(1, 3, 512, 512)
    image[:, :, 32:-32, 32:-32] = 1  # 16 of 256 on each side: just what is cut off
    assert openl3.middle_square(image)[..., 1:-1, 1:-1].min().item() == pytest.approx(1)
    assert openl3.middle_square(image).shape == (1, 3, 224, 224)


def test_a_small_image_is_refused() -> None:
    with pytest.raises(ValueError, match="--size 224"):
        openl3.middle_square(torch.zeros(1, 3, 128, 128))


def test_correspondence_is_the_mean_cosine_over_windows(tmp_path: Path) -> None:
    audio = write_keras(tmp_path / "audio.h5", random_layers(1, seed=2))
    image = write_keras(tmp_path / "image.h5", random_layers(3, seed=3))
    rng = np.random.default_rng(0)
    write_wav(tmp_path / "noise.wav", rng.normal(0, 0.1, 16_000).astype(np.float32))
    window = Window(tmp_path / "noise.wav", 0.0, 1.0, 0.6)
    images = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0)) * 2 - 1
    measured = OpenL3Correspondence(audio, image).similarity(images, [window, window])
    heard = openl3.audio_tower(audio)(openl3.decibel_spectrogram(window.waveform(48_000)))  # [windows, 512]
    seen = openl3.image_tower(image)(images)  # [2, 512]
    expected = torch.cosine_similarity(seen[:, None], heard[None], dim=-1).mean(dim=1)
    assert len(heard) == 2
    assert torch.allclose(measured, expected[:, None].expand(2, 2), atol=1e-5)
