"""A small world to learn from: photographs of three scenes, their sounds, and the index that pairs them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from tests.support.media import make_noise, make_photo, make_tone, write_ogg, write_png, write_wav
from training.config import TrainingConfig
from training.data.index import build_scene_index
from training.models.scene_audio_encoder import SceneAudioConfig, SceneAudioEncoder, save_encoder
from training.presets import PRESETS, with_settings
from training.start import Start
from training.trainer import train

TINTS = {"snow": (240, 242, 248), "rain": (110, 112, 120), "summer": (60, 150, 40)}
PHOTOGRAPHS = 6  # a scene
RECIPE = """
test_share = 0.4

[[scene]]
name = "snow"
photos = ["snow/*.png"]
select = { snow = [0.3, 1.0] }
sounds = [{ file = "steps.wav", test_after = 4.0 }]

[[scene]]
name = "rain"
photos = ["rain/*.png"]
sounds = [{ file = "rain.ogg" }, { file = "shower.wav", split = "test" }]

[[scene]]
name = "summer"
photos = ["summer/*.png"]
sounds = [{ file = "bird.wav" }, { file = "birds.wav", split = "test" }]

[[scene]]
name = "content"
photos = ["other/*.png"]
"""


def photograph(scene: str, seed: int) -> NDArray[np.uint8]:
    """[64, 80, 3]: an image in the scene's colour."""
    tint = np.array(TINTS.get(scene, (200, 120, 60)))
    return np.clip(0.25 * make_photo(80, 64, seed) + 0.75 * tint, 0, 255).astype(np.uint8)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As many threads in every test: sums are added in one order only then. The cores are shared by other tests."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """photos/SCENE/*.png and sounds/*, with a recipe beside them."""
    folder = tmp_path_factory.mktemp("data")
    for scene in (*TINTS, "other"):
        (folder / "photos" / scene).mkdir(parents=True)
        for number in range(PHOTOGRAPHS):
            seed = sum(map(ord, scene)) + 31 * number
            write_png(folder / "photos" / scene / f"{scene}-{number}.png", photograph(scene, seed))
    # a near-duplicate under another name, and a winter photograph without snow
    first = Image.open(folder / "photos" / "rain" / "rain-0.png")
    write_png(folder / "photos" / "rain" / "zz-smaller.png", np.asarray(first.resize((75, 60))))
    write_png(folder / "photos" / "snow" / "no-snow.png", photograph("summer", 99))
    sounds = folder / "sounds"
    sounds.mkdir()
    write_wav(sounds / "steps.wav", make_noise(8.0, 0.1, seed=1) * np.sign(make_tone(8.0, 2.0)))
    write_ogg(sounds / "rain.ogg", make_noise(4.0, 0.1, seed=2))
    write_wav(sounds / "shower.wav", make_noise(3.0, 0.05, seed=3))
    write_wav(sounds / "bird.wav", make_tone(4.0, 3000.0))
    write_wav(sounds / "birds.wav", make_tone(3.0, 2500.0))
    (folder / "recipe.toml").write_text(RECIPE)
    return folder


@pytest.fixture(scope="session")
def index(data: Path) -> Path:
    path = data / "index.jsonl"
    build_scene_index(data / "recipe.toml", data, path)
    return path


@pytest.fixture
def smoke() -> TrainingConfig:
    return PRESETS["smoke"]


@pytest.fixture(scope="session")
def finished_run(index: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a whole smoke run."""
    torch.set_num_threads(1)
    return train(PRESETS["smoke"], index, tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="session")
def pretrained_run(index: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a whole smoke run with audio-visual pre-training."""
    torch.set_num_threads(1)
    config = with_settings(PRESETS["smoke"], ["pretraining.steps=3", "pretraining.batch=4", "learning_rate=0.0"])
    return train(config, index, tmp_path_factory.mktemp("pretrained"))


@pytest.fixture(scope="session")
def scene_audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of an audio encoder that has learned nothing and is sure that everything is a scene."""
    torch.manual_seed(0)
    encoder = SceneAudioEncoder(SceneAudioConfig())
    with torch.no_grad():
        encoder.classifier.head.bias[: len(encoder.config.scenes)] += 4.0
    path = tmp_path_factory.mktemp("audio") / "encoder.pt"
    save_encoder(encoder.eval(), path)
    return path


@pytest.fixture(scope="session")
def scene_run(index: Path, scene_audio: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a whole smoke run of the scene stylizer."""
    torch.set_num_threads(1)
    return train(PRESETS["smoke-scene"], index, tmp_path_factory.mktemp("scene"), Start(audio_weights=scene_audio))
