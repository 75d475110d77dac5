"""The index of a recipe of scenes: its splits by source, its weights, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.media import make_noise, write_png, write_wav
from training.__main__ import main
from training.data.index import PairingError, read_index
from training.data.scene_index import build_scene_index, is_scene_recipe
from training.data.scene_photographs import LARGEST_SET, read_photographs

RECIPE = """
sounds = "sounds.toml"
held_out_percent = 50
[[photographs]]
scene = "snow"
files = ["snow/*.png"]
select = { brightness = [0.5, 1.0] }
[[photographs]]
files = ["other/*.png"]
"""
SOUNDS = '[folders]\nsnow = "snow"\ncity = "city"\n[folds]\n0 = ["held"]\n1 = ["kept"]\n'


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for kind, level in (("snow", 230), ("other", 90)):
        (folder / "photos" / kind).mkdir(parents=True)
        for name in [f"set{number}-{shot}" for number in range(8) for shot in range(2)]:
            write_png(folder / "photos" / kind / f"{kind}{name}.png", np.full((40, 50, 3), level, np.uint8))
    write_png(folder / "photos" / "snow" / "dark-1.png", np.full((40, 50, 3), 20, np.uint8))
    for kind in ("snow", "city"):
        (folder / "sounds" / kind).mkdir(parents=True)
        for source in ("held", "kept"):
            write_wav(folder / "sounds" / kind / f"{source}-{kind}.wav", make_noise(2.0, 0.1, seed=1))
    (folder / "recipe.toml").write_text(RECIPE)
    (folder / "sounds.toml").write_text(SOUNDS)
    return folder


def test_a_set_of_photographs_is_on_one_side_and_so_is_a_recording(data: Path) -> None:
    build_scene_index(data / "recipe.toml", data, data / "index.jsonl")
    train, test = read_index(data / "index.jsonl", "train"), read_index(data / "index.jsonl", "test")
    assert not {p.source for p in train} & {p.source for p in test}
    assert {p.sound.name for p in train if p.sound} == {"kept-snow.wav"}
    assert {p.sound.name for p in test if p.sound} == {"held-snow.wav"}
    assert all(p.seconds == pytest.approx(2.0) for p in (*train, *test) if p.sound)


def test_strangers_and_photographs_outside_the_bounds_are_in_no_scene(data: Path) -> None:
    build_scene_index(data / "recipe.toml", data, data / "index.jsonl")
    pairs = [p for split in ("train", "test") for p in read_index(data / "index.jsonl", split)]
    assert {p.scene for p in pairs} == {"snow", "content"}
    assert {p.scene for p in pairs if p.image.name == "dark-1.png"} == {"content"}
    assert sum(p.weight for p in pairs if p.scene == "snow") == pytest.approx(2.0)  # one for each split


def test_a_counterpart_has_the_scenes_sounds_and_is_restyled_and_the_probe_does_not_know_it(
    data: Path, tmp_path: Path
) -> None:
    counterparts = '[[counterparts]]\nscene = "snow"\nfiles = ["other/*.png"]\nselect = { brightness = [0.0, 0.5] }\n'
    (tmp_path / "recipe.toml").write_text(RECIPE + counterparts)
    (tmp_path / "sounds.toml").write_text(SOUNDS)
    build_scene_index(tmp_path / "recipe.toml", data, tmp_path / "index.jsonl")
    pairs = [p for split in ("train", "test") for p in read_index(tmp_path / "index.jsonl", split)]
    others = [p for p in pairs if p.image.parent.name == "other"]
    assert {p.scene for p in others if p.sound} == {"snow"}
    assert {p.image for p in others if p.sound} == {p.image for p in others if p.sound is None}
    assert {p.scene for p in pairs if p.image.name == "dark-1.png"} == {"content"}  # no table of counterparts names it
    found = read_photographs(tmp_path / "recipe.toml", data / "photos")
    assert {(p.scene, p.counterpart_of) for p in found} == {("snow", None), (None, "snow"), (None, None)}


def test_counterparts_without_a_scene_are_refused(data: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(RECIPE + '[[counterparts]]\nfiles = ["other/*.png"]\n')
    (tmp_path / "sounds.toml").write_text(SOUNDS)
    with pytest.raises(PairingError, match="scene"):
        build_scene_index(tmp_path / "recipe.toml", data, tmp_path / "index.jsonl")


def test_the_photographs_of_a_large_set_are_sources_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "snow").mkdir()
    for number in range(LARGEST_SET + 1):
        write_png(tmp_path / "snow" / f"many-{number}.png", np.full((32, 32, 3), 230, np.uint8))
    (tmp_path / "recipe.toml").write_text(RECIPE)
    found = read_photographs(tmp_path / "recipe.toml", tmp_path)
    assert len({p.source for p in found}) == len(found) == LARGEST_SET + 1
    assert 0 < sum(p.held_out for p in found) < len(found)


def test_the_command_knows_both_kinds_of_recipes(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert is_scene_recipe(data / "recipe.toml")
    assert not is_scene_recipe(data / "sounds.toml")
    assert main(["index", str(data / "recipe.toml"), str(data / "again.jsonl"), "--data", str(data)]) == 0
    assert "snow/train" in capsys.readouterr().out


def test_a_scene_without_recordings_is_refused(data: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(RECIPE.replace('scene = "snow"', 'scene = "rain"'))
    (tmp_path / "sounds.toml").write_text(SOUNDS)
    with pytest.raises(PairingError, match="rain"):
        build_scene_index(tmp_path / "recipe.toml", data, tmp_path / "index.jsonl")
