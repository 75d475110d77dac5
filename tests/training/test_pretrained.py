"""A published audio encoder is where a run begins; files of another layout are refused.

The files are made here with random weights, in the layouts that SeLaVi's and Wav2CLIP's public code writes.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchvision.models.resnet import BasicBlock, ResNet

from tests.training.test_ablations import small
from training import checkpoint
from training.__main__ import main
from training.checkpoint import CheckpointError
from training.config import AudioConfig, TrainingConfig
from training.evaluation.evaluate import evaluate
from training.evaluation.metrics.judges import JudgeWeights
from training.imports.published_audio import load_published
from training.models.resnet import ResNet18
from training.presets import PRESETS
from training.start import Start
from training.trainer import train

STAGE_BLOCKS = {"selavi": 1, "wav2clip": 2}


def published(kind: str) -> ResNet:
    """torchvision's network with statistics that are not the initial ones, for one channel."""
    torch.manual_seed(3)
    blocks = STAGE_BLOCKS[kind]
    network = ResNet(BasicBlock, [blocks] * 4)
    network.conv1 = torch.nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.running_mean is not None
            module.running_mean.normal_(std=0.1)
    if kind == "selavi":
        network.fc = torch.nn.Identity()  # type: ignore[assignment]
    return network.eval()


def write_published(path: Path, kind: str) -> Path:
    weights = published(kind).state_dict()
    other: dict[str, Tensor] = {"module.video_network.base.stem.0.weight": torch.zeros(2)}
    if kind == "selavi":
        mine = {f"module.audio_network.base.{k}": v for k, v in weights.items()}
        torch.save({"epoch": 200, "model": {**mine, **other, "module.mlp_a0.weight": torch.zeros(2)}}, path)
    else:
        window = {"audio_encoder.spectrogram.window": torch.hann_window(512)}
        mine = {f"audio_encoder.{k}": v for k, v in weights.items()}
        torch.save({"epoch": 9, "state_dict": {**mine, **window, "audio_transform.sequential.0.bias": other}}, path)
    return path


@pytest.fixture(scope="module", params=sorted(STAGE_BLOCKS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def file(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_published(tmp_path_factory.mktemp("published") / f"{kind}.pt", kind)


def begun_small(name: str, *settings: str) -> TrainingConfig:
    """Hardly any channels, but for the published encoder's own shape."""
    return small(name, "audio.encoder_width=64", "images=2", *settings)


def test_the_encoder_computes_what_the_published_one_does(kind: str, file: Path) -> None:
    network = ResNet18(64, 8, 3, STAGE_BLOCKS[kind]).eval()
    load_published(network, kind, file)
    theirs = published(kind)
    theirs.fc = torch.nn.Identity()  # type: ignore[assignment]
    heard = torch.randn(2, 1, 65, 40)
    with torch.no_grad():
        features = network.blocks(network.stem(heard)).mean(dim=(2, 3))
        assert torch.allclose(features, theirs(heard), atol=1e-4)


def test_the_presets_fit_the_published_files(kind: str, file: Path) -> None:
    audio: AudioConfig = PRESETS[kind].audio
    network = ResNet18(audio.encoder_width, audio.embedding_dim, audio.first_padding, audio.stage_blocks)
    load_published(network, kind, file)
    assert PRESETS[kind].audio_start == kind  # type: ignore[attr-defined]


def test_a_run_begins_there_learns_on_and_resumes_without_the_file(
    kind: str, file: Path, index: Path, tmp_path: Path
) -> None:
    config = begun_small(kind)
    run = tmp_path / "run"
    still = begun_small(kind, "learning_rate=0.0")
    begun = checkpoint.load(train(still, index, tmp_path / "still", Start(audio_weights=file)))["networks"]
    path = train(config, index, run, Start(audio_weights=file))
    name = "audio_encoder.network.stem.0.weight"
    assert torch.equal(begun[name], published(kind).conv1.weight)
    learned = checkpoint.load(path)["networks"][name]
    assert not torch.equal(begun[name], learned)
    resumed = checkpoint.load(train(begun_small(kind, "images=4"), index, run, Start(force=True)))
    assert resumed["images_seen"] == 4
    assert not torch.equal(resumed["networks"][name], learned)


def test_an_encoder_begins_with_the_pre_training_and_learns_on(index: Path, tmp_path: Path) -> None:
    few = ("pretraining.steps=2", "pretraining.batch=4", "images=2")
    name = "audio_encoder.network.stem.0.weight"
    still = checkpoint.load(train(small("pretrained-audio", *few, "learning_rate=0.0"), index, tmp_path / "still"))
    learned = checkpoint.load(train(small("pretrained-audio", *few), index, tmp_path / "run"))
    assert not torch.equal(still["networks"][name], learned["networks"][name])


def test_its_checkpoint_is_evaluated_by_another_runs_correspondence_net(
    index: Path, pretrained_run: Path, tmp_path: Path
) -> None:
    file = write_published(tmp_path / "selavi.pt", "selavi")
    path = train(begun_small("selavi"), index, tmp_path / "run", Start(audio_weights=file))
    alone = evaluate([path], index, tmp_path / "report", pictures=2, size=32)["selavi, 2 images (run)"]
    assert "avc_own" not in alone
    weights = JudgeWeights(correspondence=pretrained_run)
    judged = evaluate([path], index, tmp_path / "report", pictures=2, size=32, weights=weights)
    assert "avc_own" in judged["selavi, 2 images (run)"]


def test_a_preset_without_its_file_is_refused(index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", "--preset", "selavi", "--index", str(index), "--run", str(tmp_path)]
    assert main(arguments) == 2
    assert "--audio-weights" in capsys.readouterr().err


def test_a_file_is_refused_where_the_preset_takes_none(index: Path, smoke: TrainingConfig, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="takes no --audio-weights"):
        train(smoke, index, tmp_path, Start(audio_weights=tmp_path / "any.pt"))


@pytest.mark.parametrize(("named", "said"), [("selavi", "no entry 'model'"), ("wav2clip", "no entry 'state_dict'")])
def test_the_file_of_the_other_kind_is_refused(named: str, said: str, tmp_path: Path) -> None:
    other = "wav2clip" if named == "selavi" else "selavi"
    path = write_published(tmp_path / "file.pt", other)
    with pytest.raises(CheckpointError, match=said):
        load_published(ResNet18(64, 8, 3, STAGE_BLOCKS[named]), named, path)


def test_a_deeper_network_than_the_presets_is_named(tmp_path: Path) -> None:
    path = write_published(tmp_path / "file.pt", "wav2clip")
    with pytest.raises(CheckpointError, match=r"unexpected layer1\.1"):
        load_published(ResNet18(64, 8, 3, 1), "wav2clip", path)


def test_a_damaged_file_and_code_in_a_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.pt").write_bytes(b"no weights")
    torch.save({"model": Path("code")}, tmp_path / "code.pt")
    for name in ("broken.pt", "code.pt"):
        with pytest.raises(CheckpointError, match="not a readable file"):
            load_published(ResNet18(64, 8, 3, 1), "selavi", tmp_path / name)
