"""What everybody gets who installs the service: the behavior of models/demo."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from service.model.bundle import load_bundle
from service.model.engine import Engine
from tests.support.media import make_photo, make_tone

DEMO = Path(__file__).parents[3] / "models" / "demo"
SCENES = {"snow", "rain", "storm", "summer", "autumn", "night", "desert"}
FULL = 0.9  # length of a loud, sure embedding


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(load_bundle(DEMO), ["cpu"], allow_fallback=False)


@pytest.fixture(scope="module")
def image() -> NDArray[np.float32]:
    """[1, 3, 256, 256] in 0..1: blue above, green below, with some detail."""
    pixels = 0.25 * make_photo(256, 256, 3).astype(np.float32) / 255
    pixels[:128] += np.array([0.35, 0.5, 0.7], np.float32)
    pixels[128:] += np.array([0.25, 0.4, 0.15], np.float32)
    return np.ascontiguousarray(pixels.clip(0, 1).transpose(2, 0, 1))[None]


@pytest.fixture(scope="module")
def looks(engine: Engine, image: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """The image under each scene's own direction."""
    content = engine.encode(image)
    return {name: engine.decode(content, FULL * direction[None])[0] for name, direction in directions(engine).items()}


def directions(engine: Engine) -> dict[str, NDArray[np.float32]]:
    return {s.name: np.array(s.embedding, np.float32) for s in engine.manifest.sounds if s.known}


def change_255(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    return float(np.abs(first - second).mean()) * 255


def test_it_knows_seven_scenes_and_names_strangers(engine: Engine) -> None:
    assert set(directions(engine)) == SCENES
    assert {"speech", "music", "city", "fire"} <= {s.name for s in engine.manifest.sounds if not s.known}


def test_silence_leaves_the_image(engine: Engine, image: NDArray[np.float32]) -> None:
    silence = engine.embed(np.zeros((1, engine.manifest.clip_samples), np.float32))
    assert np.abs(engine.decode(engine.encode(image), silence) - image).max() * 255 < 2


def test_louder_is_more(engine: Engine, image: NDArray[np.float32]) -> None:
    content, rain = engine.encode(image), directions(engine)["rain"]
    changes = [change_255(engine.decode(content, length * rain[None])[0], image[0]) for length in (0.1, 0.3, 0.6, 0.9)]
    assert all(after > before for before, after in pairwise(changes))


def test_every_scene_changes_the_image_in_its_own_way(looks: dict[str, NDArray[np.float32]]) -> None:
    names = sorted(looks)
    for place, first in enumerate(names):
        for second in names[place + 1 :]:
            assert change_255(looks[first], looks[second]) > 4, (first, second)


def test_the_looks_are_those_of_the_scenes(looks: dict[str, NDArray[np.float32]], image: NDArray[np.float32]) -> None:
    light = {name: float(look.mean()) for name, look in looks.items()}
    assert light["night"] < light["rain"] < light["snow"]
    assert light["storm"] < float(image.mean())

    def saturation(pixels: NDArray[np.float32]) -> float:
        return float((pixels.max(axis=0) - pixels.min(axis=0)).mean())

    assert saturation(looks["snow"]) < saturation(looks["summer"])
    ground = {name: look[:, 128:].mean(axis=(1, 2)) for name, look in looks.items()}
    assert ground["summer"][1] > ground["summer"][0]  # green over red
    assert ground["autumn"][0] > ground["autumn"][1]  # red over green


def test_a_mix_lies_between_its_parts(
    engine: Engine, image: NDArray[np.float32], looks: dict[str, NDArray[np.float32]]
) -> None:
    content, known = engine.encode(image), directions(engine)
    between = known["snow"] + known["summer"]
    mixed = engine.decode(content, FULL * (between / np.linalg.norm(between))[None])[0]
    way = looks["summer"] - looks["snow"]
    share = float(((mixed - looks["snow"]) * way).sum() / (way * way).sum())
    assert 0.25 < share < 0.75


@pytest.mark.parametrize("hertz", [220.0, 440.0, 1760.0])
def test_a_tone_is_a_stranger(engine: Engine, hertz: float) -> None:
    tone = make_tone(3.0, hertz, amplitude=0.1, sample_rate_hz=engine.manifest.sample_rate_hz)
    embedding = engine.embed(tone[None, : engine.manifest.clip_samples])
    assert np.linalg.norm(embedding) < 0.35


def test_a_part_is_treated_as_in_the_whole(engine: Engine) -> None:
    whole = make_photo(640, 320, 5).astype(np.float32).transpose(2, 0, 1)[None] / 255
    part = np.ascontiguousarray(whole[..., :448])
    snow = FULL * directions(engine)["snow"][None]
    first, second = (engine.decode(engine.encode(one), snow) for one in (whole, part))
    assert np.abs(first[..., 128:256] - second[..., 128:256]).max() * 255 < 12  # seams of tiles would be steps here
