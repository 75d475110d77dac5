"""Weights of the released architecture become a checkpoint that computes the same images and embeddings.

The architecture is stated here anew in plain torch, from its description and key names.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training import checkpoint
from training.__main__ import main
from training.evaluation.inference import CheckpointModel

Weights = OrderedDict[str, Tensor]


class LowPass(nn.Module):
    """Their anti-aliased sampling: a fixed filter, kept as the buffer `filt`."""

    filt: Tensor

    def __init__(self, channels: int, up: bool) -> None:
        super().__init__()
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0] if up else [1.0, 2.0, 1.0])
        kernel = taps[:, None] * taps[None] / taps.sum() ** 2 * (4 if up else 1)
        self.register_buffer("filt", kernel.repeat(channels, 1, 1, 1))
        self.up = up

    def forward(self, x: Tensor) -> Tensor:
        if not self.up:
            return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), self.filt, stride=2, groups=x.shape[1])
        x = F.pad(x, (1, 1, 1, 1), mode="replicate")
        return F.conv_transpose2d(x, self.filt, stride=2, padding=2, groups=x.shape[1])[:, :, 1:-1, 1:-1]


class TheirBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        norm = nn.InstanceNorm2d(channels)
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), norm, nn.ReLU(),
            nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), norm,
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)


class TheirGenerator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        down: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(3, 64, 7), nn.InstanceNorm2d(64), nn.ReLU()]
        for c in (64, 128):
            down += [nn.Conv2d(c, 2 * c, 3, padding=1), nn.InstanceNorm2d(2 * c), nn.ReLU(), LowPass(2 * c, up=False)]
        self.model_down = nn.Sequential(*down, *(TheirBlock(256) for _ in range(9)))
        up: list[nn.Module] = []
        for c in (512, 256):
            up += [LowPass(c, up=True), nn.Conv2d(c, c // 2, 3, padding=1), nn.InstanceNorm2d(c // 2), nn.ReLU()]
        self.model_up = nn.Sequential(*up, nn.ReflectionPad2d(3), nn.Conv2d(128, 3, 7), nn.Tanh())

    def forward(self, image: Tensor, embedding: Tensor) -> Tensor:
        x = self.model_down(image)
        tiled = embedding[:, :, None, None].repeat(1, 1, *x.shape[2:])
        return self.model_up(torch.cat([x, tiled], dim=1))


class TheirBasicBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        if stride > 1:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        straight = self.downsample(x) if hasattr(self, "downsample") else x
        return torch.relu(straight + self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x))))))


class TheirAudioModel(nn.Module):
    """Magnitude spectrogram by torch.stft -> ResNet18 with a first padding of 1 -> `proj`."""

    def __init__(self) -> None:
        super().__init__()
        conv = nn.Conv2d(1, 64, 7, 2, 1, bias=False)
        self.AudioInconv = nn.Sequential(conv, nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        inputs = 64
        for stage, outputs in enumerate((64, 128, 256, 512), 1):
            first = TheirBasicBlock(inputs, outputs, 1 if stage == 1 else 2)
            setattr(self, f"AudioLayer{stage}", nn.Sequential(first, TheirBasicBlock(outputs, outputs, 1)))
            inputs = outputs
        self.proj = nn.Linear(512, 256)

    def forward(self, waveform: Tensor) -> Tensor:
        window = torch.hann_window(400)
        spectrum = torch.stft(waveform, 512, 160, 400, window, center=True, pad_mode="reflect", return_complex=True)
        x = self.AudioInconv(spectrum.abs()[:, None])
        for stage in range(1, 5):
            x = getattr(self, f"AudioLayer{stage}")(x)
        return self.proj(F.adaptive_avg_pool2d(x, 1).flatten(1))


@pytest.fixture(scope="module")
def theirs() -> tuple[TheirGenerator, TheirAudioModel]:
    torch.manual_seed(5)
    audio = TheirAudioModel()
    for module in audio.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 2.0)  # type: ignore[union-attr]
    return TheirGenerator().eval(), audio.eval()


def released(audio: TheirAudioModel) -> Weights:
    """With the buffers of the spectrogram that their file holds."""
    return OrderedDict(audio.state_dict(), **{"stft.wsin": torch.zeros(257, 1, 512)})


@pytest.fixture(scope="module")
def files(theirs: tuple[TheirGenerator, TheirAudioModel], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("released")
    torch.save(theirs[0].state_dict(), folder / "latest_net_G.pth")
    torch.save(released(theirs[1]), folder / "latest_net_Audio.pth")
    return folder


def command(folder: Path, output: Path) -> int:
    return main(["import-avstyle", str(folder / "latest_net_G.pth"), str(folder / "latest_net_Audio.pth"), str(output)])


@pytest.fixture(scope="module")
def imported(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("imported") / "checkpoint.pt"
    assert command(files, path) == 0
    return path


def test_the_imported_networks_compute_what_the_released_ones_do(
    imported: Path, theirs: tuple[TheirGenerator, TheirAudioModel]
) -> None:
    generator, audio = theirs
    rng = torch.Generator().manual_seed(1)
    image = torch.rand(1, 3, 32, 40, generator=rng) * 2 - 1
    waveform = torch.randn(2, 48_000, generator=rng)
    average = CheckpointModel(imported).average
    with torch.no_grad():
        expected = audio(waveform / (1.1 * waveform.abs().amax(dim=1, keepdim=True)))
        embedding = average.audio_encoder(waveform)
        assert expected.std() > 1e-3
        torch.testing.assert_close(embedding, expected, atol=1e-4, rtol=1e-4)
        stylized = generator(image, expected[:1])
        assert stylized.std() > 1e-3
        torch.testing.assert_close(average.generator(image, embedding[:1])[0], stylized, atol=1e-4, rtol=1e-4)


def test_the_imported_checkpoint_is_one_of_the_paper_preset(imported: Path) -> None:
    from export.graphs import read_graphs

    assert checkpoint.config_of(checkpoint.load(imported)).preset == "paper"
    assert read_graphs(imported).content_channels == 256


def drop_a_block(weights: Weights) -> None:
    del weights["model_down.20.conv_block.5.weight"]


def add_a_layer(weights: Weights) -> None:
    weights["model_up.12.weight"] = torch.zeros(1)


def narrow_the_head(weights: Weights) -> None:
    weights["model_up.9.weight"] = torch.zeros(3, 64, 7, 7)


def sample_otherwise(weights: Weights) -> None:
    weights["model_down.7.filt"] = torch.full((128, 1, 3, 3), 1 / 9)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (drop_a_block, r"lacks model_down.20.conv_block.5.weight;"),
        (add_a_layer, r"has unexpected model_up.12.weight;"),
        (narrow_the_head, r"another shape: model_up.9.weight is [3, 64, 7, 7], not [3, 128, 7, 7];"),
        (sample_otherwise, r"model_down.7.filt is another low-pass than [1.0, 2.0, 1.0]"),
    ],
)
def test_weights_of_another_architecture_are_refused(
    spoil: object, message: str, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = torch.load(files / "latest_net_G.pth", weights_only=True)
    spoil(weights)  # type: ignore[operator]
    torch.save(weights, tmp_path / "latest_net_G.pth")
    (tmp_path / "latest_net_Audio.pth").symlink_to(files / "latest_net_Audio.pth")
    assert command(tmp_path, tmp_path / "out.pt") == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out.pt").exists()


def test_files_in_the_wrong_order_are_refused(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    swapped = [str(files / "latest_net_Audio.pth"), str(files / "latest_net_G.pth"), str(tmp_path / "out.pt")]
    assert main(["import-avstyle", *swapped]) == 2
    assert "latest_net_Audio.pth lacks model_down" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"no weights"])
def test_a_file_that_holds_no_weights_is_refused(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "latest_net_G.pth").write_bytes(content)
    assert command(tmp_path, tmp_path / "out.pt") == 2
    assert "latest_net_G.pth is not a readable file of weights" in capsys.readouterr().err
