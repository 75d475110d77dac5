"""The stage that trains the audio encoder: what a batch holds, and that a tiny encoder learns."""

import functools
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.media import write_wav
from tests.training.test_audio_backbone import yamnet_like
from training.__main__ import main
from training.data.hearing_bank import BatchSampler, HearingBank, masked, mixed, with_floor
from training.data.sound_recordings import Recording
from training.evaluation.audio_recognition import GAINS_DB, hear_recordings
from training.models.audio_backbone import AudioBackbone
from training.models.scene_audio_encoder import SceneAudioConfig, SceneAudioEncoder, load_encoder, save_encoder
from training.stages.scene_audio_pretraining import SceneAudioTraining, fit_temperature, train_scene_audio_encoder

CONFIG = SceneAudioConfig(scenes=("snow", "rain"), strangers=("speech",), widths=(8, 8, 16, 16), embedding_dim=8)
TRAINING = SceneAudioTraining(
    steps=60, batch=12, learning_rate=5e-3, warmup_steps=5, average_decay=0.9, hearings=4, synthetic=0, bf16=False
)
RATE = CONFIG.sample_rate_hz


def made(kind: str, seed: int) -> np.ndarray:
    """Snow crunches twice a second, rain hisses, and a stranger hums a chord; every seed a little differently."""
    rng = np.random.default_rng(seed)
    time = np.arange(4 * RATE) / RATE
    noise = rng.standard_normal(len(time)) * 0.1
    if kind == "rain":
        return noise.astype(np.float32)
    if kind == "snow":
        return (noise * (np.sin(2 * np.pi * rng.uniform(1.5, 2.5) * time) > 0.7)).astype(np.float32)
    tones = sum(np.sin(2 * np.pi * rng.uniform(200, 900) * time) for _ in range(3))
    return (0.05 * np.asarray(tones)).astype(np.float32)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> list[Recording]:
    folder = tmp_path_factory.mktemp("sounds")
    found = []
    for kind in CONFIG.kinds:
        for seed in range(4):
            path = folder / f"{kind}-{seed}.wav"
            write_wav(path, made(kind, seed), RATE)
            found.append(Recording(path, path.name, kind, f"{kind}{seed}", 0, {kind: 1.0}))
    return found


def power(seed: int, count: int = 4) -> torch.Tensor:
    return torch.rand(count, 8, 50, generator=torch.Generator().manual_seed(seed)) + 0.5


def test_a_tiny_encoder_learns_what_it_has_not_heard(recordings: list[Recording]) -> None:
    encoder = train_scene_audio_encoder(recordings, None, CONFIG, TRAINING, torch.eye(3, 8))
    strange = [(kind, kind, kind, made(kind, 77)) for kind in CONFIG.kinds]
    heard = {one.kind: one for one in hear_recordings(encoder, strange)}
    assert heard["snow"].scene == "snow"
    assert heard["rain"].scene == "rain"
    assert min(heard["snow"].certainty, heard["rain"].certainty) > heard["speech"].certainty + 0.2
    assert torch.equal(encoder.prototypes, torch.eye(3, 8))


def test_the_same_seed_trains_the_same_encoder(recordings: list[Recording]) -> None:
    short = SceneAudioTraining(steps=3, batch=4, warmup_steps=1, hearings=1, synthetic=4, bf16=False)
    few = SceneAudioConfig(
        scenes=CONFIG.scenes, strangers=("speech", "noise", "music", "city", "impacts"), widths=(4, 4, 4, 4)
    )
    first, second = (
        train_scene_audio_encoder(recordings, None, few, short, torch.eye(7, 64)).state_dict() for _ in range(2)
    )
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_kind_that_the_configuration_lacks_is_refused(recordings: list[Recording]) -> None:
    other = Recording(Path("x"), "x", "lava", "x", 0, {"lava": 1.0})
    with pytest.raises(ValueError, match="lava"):
        train_scene_audio_encoder([*recordings, other], None, CONFIG, TRAINING, torch.eye(3, 8))


def test_directions_come_from_photographs_or_are_given(recordings: list[Recording]) -> None:
    with pytest.raises(ValueError, match="photographs of snow, rain"):
        train_scene_audio_encoder(recordings, None, CONFIG, TRAINING)


def test_two_scenes_are_taught_by_their_share_of_amplitude() -> None:
    """Power 4 : 1 is amplitude 2 : 1: the share that the service's weights of 2/3 and 1/3 give."""
    snow, rain = torch.eye(3)[:1].expand(200, -1), torch.eye(3)[1:2].expand(200, -1)
    steady, swaying = torch.ones(200, 2, 10), torch.tensor([2.0, 0.0]).repeat(200, 10, 1).transpose(1, 2)
    total, shares = mixed(steady, snow, swaying, rain, 2, np.random.default_rng(0))
    second_power = (total[:, 0, 0] - total[:, 1, 0]) / 2  # over the mean, which is 1
    amplitude = (1 - second_power).clamp(min=0).sqrt()
    share = amplitude / (amplitude + second_power.clamp(min=0).sqrt())
    heard = (share > 0.1) & (share < 0.9)
    assert heard.sum() > 50
    assert torch.allclose(shares[heard, 0], (share[heard] - 0.08) / 0.84, atol=0.02)
    assert (shares[:, 0] == 1).float().mean() > 0.4  # the other half is not mixed


def test_a_scene_over_a_stranger_keeps_its_whole_share_from_equal_loudness_on() -> None:
    scene, stranger = torch.eye(3)[:1].expand(300, -1), torch.eye(3)[2:].expand(300, -1)
    _, shares = mixed(power(0, 300), scene, power(1, 300), stranger, 2, np.random.default_rng(0))
    _, swapped = mixed(power(1, 300), stranger, power(0, 300), scene, 2, np.random.default_rng(0))
    assert torch.equal(shares[:, 1], torch.zeros(300))
    assert (shares[:, 0] == 1).float().mean() > 0.7
    assert 0.3 < shares[:, 0].min() < 1
    assert (swapped[:, 0] == 1).float().mean() > 0.7  # the scene leads, whichever comes first


def test_masks_hide_at_most_nine_bands_and_the_floor_lies_below() -> None:
    spectrogram = torch.randn(16, 2, 64, 192, generator=torch.Generator().manual_seed(0))
    hidden = (masked(spectrogram, np.random.default_rng(0)) != spectrogram).all(dim=1)
    assert hidden.any()
    assert hidden.all(dim=2).sum(dim=1).max() <= 9
    assert torch.equal(spectrogram, torch.randn(16, 2, 64, 192, generator=torch.Generator().manual_seed(0)))
    floor = with_floor(torch.zeros(8, 4, 4), np.random.default_rng(0))
    assert floor.max() <= 0.01
    assert floor.min() > 0


def test_a_kind_of_one_recording_is_heard_as_often_as_a_kind_of_many() -> None:
    numbers = [0] + [1] * 9
    named = [Recording(Path("x"), "x", ("snow", "rain")[n], f"s{i}", 0, {}) for i, n in enumerate(numbers)]
    bank = HearingBank(named, np.zeros((10, 4, 4), np.float16), np.arange(10), {})
    sampler = BatchSampler.of(bank, ("snow", "rain"), 2, {"rain": 1.0})
    assert sampler.probability[0] == pytest.approx(0.5)
    assert sampler.probability[1:].sum() == pytest.approx(0.5)


def test_the_temperature_tempers_what_is_too_sure() -> None:
    generator = torch.Generator().manual_seed(0)
    kinds = torch.randint(3, (600,), generator=generator)
    logits = torch.nn.functional.one_hot(kinds, 3).float() + 0.8 * torch.randn(600, 3, generator=generator)
    fitting = fit_temperature(logits, kinds)
    assert fit_temperature(logits * 3, kinds) == pytest.approx(3 * fitting, rel=0.05)


COMMAND_RECIPE = """
[folders]
steps = "snow"
drops = "rain"
voice = "speech"
[folds]
0 = ["one"]
1 = ["two"]
"""


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("command")
    (folder / "recipe.toml").write_text(COMMAND_RECIPE)
    for place, kind in (("steps", "snow"), ("drops", "rain"), ("voice", "speech")):
        for number, source in enumerate(("one", "two")):
            path = folder / "sounds" / place / f"{source}-{place}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_wav(path, made(kind, number), RATE)
    save_encoder(SceneAudioEncoder(SceneAudioConfig()), folder / "directions.pt")
    return folder


def command(sounds: Path, *more: str) -> int:
    where = [str(sounds / "recipe.toml"), str(sounds / "encoder.pt"), "--sounds", str(sounds / "sounds")]
    return main(["audio-encoder", *where, *more])


def test_the_command_writes_a_checkpoint_and_its_figures(sounds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    little = functools.partial(SceneAudioTraining, batch=4, hearings=1, synthetic=8)
    monkeypatch.setattr("training.stages.scene_audio_pretraining.SceneAudioTraining", little)
    monkeypatch.setattr("training.audio_encoder_command.MIX_PAIRS", 2)
    assert command(sounds, "--directions", str(sounds / "directions.pt"), "--steps", "2", "--classifier", "small") == 0
    assert len(load_encoder(sounds / "encoder.pt").config.kinds) == 17
    figures = json.loads((sounds / "encoder.json").read_text())
    assert figures["recordings"] == 3
    assert set(figures["recall"]) == {"snow", "rain"}
    assert len(figures["effect"]["-23 dBFS"]) == len(GAINS_DB)


def test_yamnet_layers_are_learned_from_a_graph(
    sounds: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    little = functools.partial(SceneAudioTraining, batch=2, hearings=1, synthetic=8)
    monkeypatch.setattr("training.stages.scene_audio_pretraining.SceneAudioTraining", little)
    monkeypatch.setattr("training.audio_encoder_command.MIX_PAIRS", 2)
    torch.manual_seed(0)
    backbone = AudioBackbone()
    graph = yamnet_like(backbone, sounds / "yamnet.onnx")
    directions = ("--directions", str(sounds / "directions.pt"), "--steps", "2")
    assert command(sounds, *directions, "--yamnet", str(graph)) == 0
    encoder = load_encoder(sounds / "encoder.pt")
    assert encoder.config.classifier == "yamnet"
    moved = [
        (a - b).abs().max()
        for a, b in zip(backbone.parameters(), encoder.classifier.backbone.parameters(), strict=True)
    ]
    assert 0 < max(moved) < 2e-5  # by a rate of their own: by that of the rest 6e-5
    monkeypatch.setattr("training.data.tagger._yamnet_found", lambda: False)
    assert command(sounds, *directions) == 2
    assert "--yamnet FILE" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ((), "either --photographs or --directions"),
        (("--photographs", "p"), "names no photographs of"),
        (("--directions", "recipe.toml"), "not a checkpoint"),
        (("--directions", "directions.pt", "--fold", "7"), "fold 7"),
    ],
)
def test_bad_arguments_are_said(
    sounds: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], message: str
) -> None:
    assert command(sounds, *(str(sounds / one) if one.endswith((".toml", ".pt")) else one for one in more)) == 2
    assert message in capsys.readouterr().err
