"""A bundle says what it is, replaces an older one in one stroke, and never lands half-written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import ModelProto

from export.__main__ import main
from export.bundle import write_bundle
from export.graphs import read_graphs
from export.sounds import known_sounds
from export.verify import compare
from service.model.bundle import GRAPHS, MANIFEST, Bundle, bundle_directories, load_bundle
from service.model.engine import Engine
from tests.export.conftest import small
from tests.support.media import make_noise, make_photo, make_tone, write_png, write_wav
from training import checkpoint
from training.data.index import Pair, write_index
from training.models.scene_audio_encoder import SceneAudioConfig, SceneAudioEncoder, save_encoder


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scenes with a sound each, one of them with a pause."""
    folder = tmp_path_factory.mktemp("data")
    rain = np.concatenate([make_noise(2.0), np.zeros(32_000, np.float32)])
    sounds = {
        "rain": write_wav(folder / "rain.wav", rain),
        "bird": write_wav(folder / "bird.wav", make_tone(3.0, 3000.0)),
    }
    pairs = []
    for scene, sound in sounds.items():
        (folder / scene).mkdir()
        for number, split in enumerate(("train", "train", "test")):
            image = write_png(folder / scene / f"{number}.png", make_photo(40, 32, number))
            pairs.append(Pair(image, sound, 0.0, 3.0, split, f"{scene}{number}", 1.0, scene))
    write_index(pairs, folder / "index.jsonl")
    return folder / "index.jsonl"


def contents(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


# What it says


def test_the_manifest_describes_the_networks(bundle: Path) -> None:
    manifest = load_bundle(bundle).manifest
    config = small("smoke-scene")
    assert (manifest.name, manifest.version) == ("small", "1.2.3")
    assert (manifest.clip_seconds, manifest.sample_rate_hz) == (3.0, 16_000)
    assert (manifest.embedding_dim, manifest.native_size) == (64, config.data.crops[-1][1])
    assert manifest.size_multiple == 32
    assert manifest.opset >= 18
    assert manifest.training["preset"] == "smoke-scene"
    assert manifest.training["images_seen"] == 1234


def test_known_sounds_are_directions_of_the_training_split(run_checkpoint: Path, index: Path) -> None:
    graphs = read_graphs(run_checkpoint)
    known = known_sounds(graphs.audio_encoder, graphs.config.audio, index)
    assert [k.name for k in known] == ["bird", "rain"]
    for sound in known:
        assert np.linalg.norm(sound.embedding) == pytest.approx(1.0, abs=1e-4)


def test_index_and_metrics_enter_the_manifest(
    exported_before: None, run_checkpoint: Path, index: Path, tmp_path: Path
) -> None:
    measures = {"right scene": {"mean": 0.9, "low": 0.8, "high": 1.0}}
    (tmp_path / "figures.json").write_text(json.dumps({"probe_accuracy": 0.97, "rows": {"smoke, 8": measures}}))
    arguments = ["--index", str(index), "--metrics", str(tmp_path / "figures.json"), "--name", "other"]
    assert main([str(run_checkpoint), str(tmp_path / "bundle"), *arguments]) == 0
    manifest = load_bundle(tmp_path / "bundle").manifest
    assert manifest.name == "other"
    assert manifest.training["metrics"] == {"probe_accuracy": 0.97, **measures}
    assert manifest.training["data"] == {"photographs": {"bird": 2, "rain": 2}, "sounds": ["bird.wav", "rain.wav"]}
    assert {"rain", "snow"} <= {s.name for s in manifest.sounds if s.known}  # what the encoder was made to know
    assert str(tmp_path) not in (tmp_path / "bundle" / MANIFEST).read_text()


def test_the_slim_checkpoint_exports_to_nearly_the_same(exported_before: None, bundle: Path, tmp_path: Path) -> None:
    slim = bundle / "checkpoint.pt"
    assert slim.stat().st_size < 1e7
    assert checkpoint.load(slim)["ema"] == {}
    engine = Engine(load_bundle(bundle), ["cpu"], allow_fallback=False)
    (difference,) = compare(read_graphs(slim), engine, [(1, 64, 64)])
    assert 0 < difference.image < 2e-2  # the slim weights are in half precision
    # and the command takes it, its graphs being near enough to those that it is given here
    assert main([str(slim), str(tmp_path / "again"), "--precision", "fp16", "--with-checkpoint"]) == 0
    weights = [checkpoint.load(path)["networks"] for path in (slim, tmp_path / "again" / "checkpoint.pt")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


# How it lands


def test_an_audio_encoder_with_the_same_directions_takes_the_place_of_the_checkpoints(
    generator_exported_before: None,
    bundle: Path,
    run_checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    dim = load_bundle(bundle).manifest.embedding_dim
    torch.manual_seed(1)
    encoder = SceneAudioEncoder(SceneAudioConfig(embedding_dim=dim, classifier="yamnet")).eval()
    encoder.prototypes.copy_(checkpoint.load(run_checkpoint)["networks"]["audio_encoder.prototypes"])
    save_encoder(encoder, tmp_path / "audio.pt")
    replaced = [str(run_checkpoint), str(tmp_path / "replaced"), "--with-checkpoint", "--audio-encoder"]
    assert main([*replaced, str(tmp_path / "audio.pt")]) == 0
    session = onnxruntime.InferenceSession(str(tmp_path / "replaced" / "audio_encoder.onnx"))
    waveform = 0.1 * torch.randn(2, encoder.config.clip_samples)
    (served,) = session.run(None, {session.get_inputs()[0].name: waveform.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(served, encoder(waveform).numpy(), atol=1e-4)
    again = checkpoint.load(tmp_path / "replaced" / "checkpoint.pt")
    assert again["config"]["audio_classifier"] == "yamnet"  # so that it can be exported and fine-tuned
    encoder.prototypes.copy_(encoder.prototypes.roll(1, 0))
    save_encoder(encoder, tmp_path / "other.pt")
    assert main([*replaced, str(tmp_path / "other.pt")]) == 2
    assert "other directions" in capsys.readouterr().err


def test_a_bundle_replaces_an_older_one_and_keeps_other_files(
    exported_before: None, bundle: Path, run_checkpoint: Path, tmp_path: Path
) -> None:
    target = tmp_path / "models" / "demo"
    shutil.copytree(bundle, target)
    (target / "card.md").write_text("a model card")
    assert main([str(run_checkpoint), str(target), "--version", "2.0.0"]) == 0
    assert load_bundle(target).manifest.version == "2.0.0"
    assert (target / "card.md").read_text() == "a model card"
    assert not (target / "checkpoint.pt").exists()  # it was the older one's
    assert [p.name for p in target.parent.iterdir()] == ["demo"]


def wrong(_bundle: Bundle) -> None:
    raise ValueError("the graphs differ")


def full_disk(path: Path, data: bytes) -> None:
    path.write_bytes(data[: len(data) // 2])
    raise OSError(28, "No space left on device")


def refuses_staged(rename: Callable[[Path, Path], Path]) -> Callable[[Path, Path], Path]:
    """A file system that moves the old bundle away, and the new one not into its place."""

    def moved(self: Path, target: Path) -> Path:
        if target.name == "demo" and self.name == "demo":
            raise OSError(5, "Input/output error")
        return rename(self, target)

    return moved


@pytest.mark.parametrize("existing", [False, True], ids=["nothing there", "an older bundle there"])
@pytest.mark.parametrize("moment", ["comparing", "writing", "renaming"])
def test_an_export_that_fails_changes_nothing(
    bundle: Path,
    models: dict[str, ModelProto],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    existing: bool,
    moment: str,
) -> None:
    if existing:
        shutil.copytree(bundle, tmp_path / "demo")
    before = contents(tmp_path)
    if moment == "writing":
        monkeypatch.setattr("export.bundle._write", full_disk)
    elif moment == "renaming":
        monkeypatch.setattr(Path, "rename", refuses_staged(Path.rename))
    check = wrong if moment == "comparing" else lambda _bundle: None
    with pytest.raises((ValueError, OSError)):
        write_bundle(tmp_path / "demo", load_bundle(bundle).manifest, models, check)
    assert contents(tmp_path) == before
    assert [p.name for p in tmp_path.iterdir()] == (["demo"] if existing else [])


def test_graphs_that_differ_from_the_networks_end_with_1(
    exported_before: None,
    run_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("export.verify.TOLERANCE_FP32", 1e-12)
    assert main([str(run_checkpoint), str(tmp_path / "demo")]) == 1
    assert "not exported: the fp32 graphs differ from the networks by" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_nobody_sees_a_bundle_before_it_is_proved(bundle: Path, models: dict[str, ModelProto], tmp_path: Path) -> None:
    seen: list[int] = []
    manifest = load_bundle(bundle).manifest
    write_bundle(tmp_path / "demo", manifest, models, lambda _bundle: seen.append(len(bundle_directories(tmp_path))))
    assert seen == [0]
    assert [directory.name for directory in bundle_directories(tmp_path)] == ["demo"]


# What it refuses


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required"),
        (["no.pt", "OUT"], "there is no checkpoint no.pt"),
        (["DAMAGED", "OUT"], "not a readable checkpoint"),
        (["RUN", "FOREIGN"], "is no bundle"),
        (["RUN", "OUT", "--precision", "int8"], "invalid choice"),
        (["RUN", "OUT", "--index", "no.jsonl"], "no.jsonl"),
        (["RUN", "OUT", "--metrics", "DAMAGED"], "not the figures.json"),
    ],
)
def test_bad_arguments_end_with_2(
    arguments: list[str], message: str, run_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged, foreign = tmp_path / "damaged", tmp_path / "foreign"
    damaged.write_text("nothing")
    foreign.mkdir()
    (foreign / "diary.txt").write_text("mine")
    names = {"DAMAGED": damaged, "FOREIGN": foreign, "RUN": run_checkpoint, "OUT": tmp_path / "out"}
    try:
        code = main([str(names.get(a, a)) for a in arguments])
    except SystemExit as exc:
        code = int(exc.code or 0)
    assert code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert contents(foreign) == {"diary.txt": b"mine"}


def test_a_checkpoint_of_other_networks_is_refused(
    run_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = checkpoint.load(run_checkpoint)
    values["config"]["generator"]["width"] = 8
    checkpoint.save(tmp_path / "other.pt", values)
    assert main([str(tmp_path / "other.pt"), str(tmp_path / "out")]) == 2
    assert "does not fit" in capsys.readouterr().err


def test_all_graphs_are_named_by_the_contract(bundle: Path) -> None:
    assert {p.name for p in bundle.iterdir()} == {*GRAPHS, MANIFEST, "checkpoint.pt"}
