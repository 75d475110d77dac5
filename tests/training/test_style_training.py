"""Style training: what a batch holds, what a step moves, and that it learns a scene's look from its photographs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from training import checkpoint
from training.data.dataset import CoOccurrences
from training.data.index import Pair, read_index
from training.kinds import kind_of
from training.models.average import Average
from training.models.scene_audio_encoder import SceneAudioConfig, SceneAudioEncoder, load_encoder, save_encoder
from training.models.scene_networks import FrozenFeatures
from training.presets import PRESETS, with_settings
from training.stages.precision import choose_precision
from training.stages.scene_batches import LEAST_STRENGTH, SceneBatches
from training.stages.stage import Run
from training.stages.style_training import StyleTraining
from training.start import Start
from training.trainer import train

CROP = 48


@pytest.fixture(scope="module")
def batches(index: Path, scene_audio: Path) -> SceneBatches:
    return prepared(read_index(index, "train"), scene_audio)


def prepared(pairs: Sequence[Pair], scene_audio: Path) -> SceneBatches:
    of_no_scene = {p.image for p in pairs if p.sound is None}
    drawn = SceneBatches([p for p in pairs if p.sound is not None], sorted({p.image for p in pairs}), of_no_scene, 4)
    drawn.prepare(FrozenFeatures(), load_encoder(scene_audio), seed=0)
    return drawn


def test_every_round_has_every_scene_once(batches: SceneBatches) -> None:
    for first in (0, 3, 6):
        drawn = [int(batches.draw(step, CROP, 0)["scene"]) for step in range(first, first + 3)]
        assert sorted(drawn) == [0, 1, 2]


def test_a_batch_depends_on_its_step_alone(batches: SceneBatches) -> None:
    first, again, other = batches.draw(5, CROP, 0), batches.draw(5, CROP, 0), batches.draw(6, CROP, 0)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["source"], other["source"])
    assert first["source"].shape == first["real"].shape == (4, 3, CROP, CROP)


def test_no_source_is_of_the_scene_itself_and_the_photographs_are(batches: SceneBatches) -> None:
    snow = batches.scenes.index("snow")
    step = next(step for step in range(3) if int(batches.draw(step, CROP, 0)["scene"]) == snow)
    drawn = batches.draw(step, CROP, 0)
    assert drawn["real"].mean() > 0.5  # the snow of this small world is nearly white
    assert drawn["source"].amin(dim=(2, 3)).mean() < drawn["real"].amin(dim=(2, 3)).mean()


def test_a_counterpart_is_an_example_of_its_scene_and_a_source_in_it_too(index: Path, scene_audio: Path) -> None:
    pairs = read_index(index, "train")
    snow = sorted({p.image for p in pairs if p.scene == "snow"})
    counterpart = Pair(snow[0], None, 0.0, 0.0, "train", "counterpart", 0.0, "content")
    one_of_each = [next(p for p in pairs if p.scene == scene) for scene in sorted({p.scene for p in pairs} - {"snow"})]
    drawn = prepared([*one_of_each, next(p for p in pairs if p.image == snow[0]), counterpart], scene_audio)
    steps = [drawn.draw(step, CROP, 0) for step in range(12)]
    of_snow = [each for each in steps if drawn.scenes[int(each["scene"])] == "snow"]
    assert all(each["real"].mean() > 0.5 for each in of_snow)  # white, and there is no other
    assert torch.cat([each["source"].mean(dim=(1, 2, 3)) for each in of_snow]).max() > 0.5


def test_a_view_knows_at_which_height_it_was_cut_out(batches: SceneBatches) -> None:
    drawn = batches.draw(1, CROP, 0)
    for name in ("source", "real"):
        first, last = drawn[f"{name}_heights"].unbind(dim=1)
        assert ((first >= 0) & (last <= 1) & (last - first >= CROP / 256 - 0.01)).all()
    assert drawn["source_heights"].unique(dim=0).shape[0] > 1


def test_embeddings_are_as_long_as_the_strength_that_was_drawn(batches: SceneBatches) -> None:
    lengths = torch.cat([batches.draw(step, CROP, 0)["embedding"].norm(dim=1) for step in range(6)])
    assert lengths.min() >= LEAST_STRENGTH - 1e-4
    assert lengths.max() <= 1 + 1e-4


def test_hearings_of_two_scenes_differ(batches: SceneBatches) -> None:
    rng = np.random.default_rng(0)
    within = batches.hear(0, 16, rng) @ batches.hear(0, 16, rng).T
    assert within.mean() > 0.5


def test_another_classifier_than_the_settings_say_is_refused(index: Path, tmp_path: Path) -> None:
    save_encoder(SceneAudioEncoder(SceneAudioConfig(classifier="yamnet")), tmp_path / "audio.pt")
    with pytest.raises(ValueError, match="--set audio_classifier=yamnet"):
        train(PRESETS["smoke-scene"], index, tmp_path / "run", Start(audio_weights=tmp_path / "audio.pt"))


def test_a_run_moves_all_but_the_audio_encoder(scene_run: Path, scene_audio: Path) -> None:
    values = checkpoint.load(scene_run)
    torch.manual_seed(checkpoint.config_of(values).seed)
    before = kind_of(checkpoint.config_of(values)).networks(checkpoint.config_of(values)).state_dict()
    moved = {
        name.split(".")[0] + "." + name.split(".")[1]
        for name, value in values["networks"].items()
        if not name.startswith("audio_encoder") and not torch.equal(value, before[name])
    }
    assert {"generator.encoder", "generator.decoder", "projector.mlps", "discriminator.heads"} <= moved
    assert not moved & {"discriminator.enter", "discriminator.down"}
    heard = load_encoder(scene_audio).state_dict()
    assert all(torch.equal(values["networks"][f"audio_encoder.{name}"], value) for name, value in heard.items())


def test_an_audio_encoder_is_asked_for(index: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--audio-weights"):
        train(PRESETS["smoke-scene"], index, tmp_path)


def stage_of(index: Path, scene_audio: Path, *settings: str) -> StyleTraining:
    """On the small world whose snow is white and whose rain is gray, with a direction for each scene."""
    config = with_settings(PRESETS["smoke-scene"], ["batch=8", "precision=fp32", *settings])
    torch.manual_seed(0)
    networks = kind_of(config).networks(config)
    networks.audio_encoder.load_state_dict(load_encoder(scene_audio).state_dict())
    dataset = CoOccurrences(index, "train", config.data, config.audio, config.seed)
    device = torch.device("cpu")
    precision = choose_precision(config.precision, device)
    stage = StyleTraining(Run(config, networks, Average(networks, 1.0), dataset, device, precision))
    stage.drawn.directions = list(torch.eye(len(stage.drawn.scenes), 64)[:, None])
    stage.begin()
    return stage


def test_crops_may_grow_in_the_midst_of_a_run(index: Path, scene_audio: Path) -> None:
    stage = stage_of(index, scene_audio, "data.crops=[[0.0, 32], [0.5, 64]]", "losses.gan=0")
    batches = stage.batches(0, lambda step: step / 8)
    sizes = []
    for step in range(8):
        batch = next(batches)
        sizes.append(batch["source"].shape[2])
        said = stage.step(step, batch, step / 8)
        assert "generator/variety" in said
        assert all(value.isfinite() for value in said.values())
    assert sizes == [32] * 4 + [64] * 4


def test_the_generator_learns_that_snow_is_bright(index: Path, scene_audio: Path) -> None:
    """In fifty steps."""
    stage = stage_of(index, scene_audio, "data.crops=[[0.0, 32]]", "learning_rate=0.003", "losses.gan=0", "batch=4")
    batches = stage.batches(0, lambda _step: 0.0)
    for step in range(50):
        stage.step(step, next(batches), 0.0)
    gray = torch.zeros(1, 3, 64, 64)
    with torch.no_grad():
        light = {
            scene: stage.run.networks.generator(gray, 0.95 * direction).mean()
            for scene, direction in zip(stage.drawn.scenes, stage.drawn.directions, strict=True)
        }
    assert light["snow"] > light["rain"] + 0.03
