"""Recipes choose videos, name scenes and refuse what they do not know."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.video import Clip, noise_track, write_video
from training.__main__ import main
from training.prepare.recipe import RecipeError, read_recipe, shipped
from training.prepare.videos import Skipped, Video, examine, find_videos, held_out


def video(folder: Path, name: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_video(path, Clip(width=64, height=48, frames=32), noise_track(3.2, seed=len(name)))


def test_the_papers_two_datasets_ship() -> None:
    assert shipped() == ["greatest-hits", "into-the-wild"]
    wild, hits = read_recipe("into-the-wild", {}), read_recipe("greatest-hits", {})
    assert (wild.expected_videos, wild.test_share, len(wild.category)) == (94, 0.2, 8)
    assert hits.labels is not None
    assert (hits.test_share, set(hits.labels.keep)) == (0.15, {"dirt", "grass", "gravel", "leaf", "water"})


def test_a_scene_is_what_is_heard_and_what_the_path_says() -> None:
    recipe = read_recipe("into-the-wild", {})
    steps = {"Walk, footsteps": 0.6, "Bird": 0.2, "Music": 0.9}
    assert recipe.scene("walks/Snowy ridge.mp4", steps) == "snow"
    assert recipe.scene("walks/gravel road.mp4", steps) == "gravel"
    assert recipe.scene("walks/a.mp4", steps) == "dirt"
    assert recipe.scene("walks/winter.mp4", {"Bird": 0.3, "Chirp, tweet": 0.4, "Crunch": 0.6}) == "bird"
    assert recipe.scene("walks/a.mp4", {"Vehicle": 1.0, "Speech": 0.01}) is None


def test_only_outdoor_materials_are_taken_of_greatest_hits(tmp_path: Path) -> None:
    recipe = read_recipe("greatest-hits", {})
    for name, rows in {
        "a": "1.0 dirt hit scatter\n2.0 dirt scratch None\n3.0 wood hit static\n",
        "b": "1.0 wood hit static\n",
        "c": "1.0 None None None\n",
    }.items():
        video(tmp_path, f"{name}_denoised.mp4")
        (tmp_path / f"{name}_times.txt").write_text(rows)
    video(tmp_path, "a_mic.mp4")
    video(tmp_path, "d_denoised.mp4")
    found = find_videos(tmp_path, recipe, tmp_path / "out")
    assert [path.name for path in found] == [f"{name}_denoised.mp4" for name in "abcd"]
    first, *others = (examine(path, tmp_path, recipe) for path in found)
    assert isinstance(first, Video)
    assert first.scene == "dirt"
    reasons = [other.reason for other in others if isinstance(other, Skipped)]
    assert "shows wood" in reasons[0]
    assert all("_times.txt" in reason for reason in reasons[1:])
    assert len(reasons) == 3


def test_the_recipes_command_tells_how_to_find_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video(tmp_path / "videos", "walk.mp4")
    arguments = [str(tmp_path / "videos"), str(tmp_path / "out"), "--recipe", "into-the-wild", "--tagger", "none"]
    assert main(["prepare", *arguments, "--short-side", "32", "--jobs", "1"]) == 0
    said = capsys.readouterr()
    assert "1 clips (1 train)" in said.out
    assert "94 videos" in said.err
    assert "hike POV" in said.err
    assert "no tagger" in said.err
    assert json.loads((tmp_path / "out" / "prepare.json").read_text())["short_side"] == 32


def test_the_split_is_exact_and_does_not_depend_on_the_order() -> None:
    videos = [Video(Path(), f"{i}.mp4", str(i), str(i), 0.0, 9.0, "") for i in range(94)]
    names = held_out(videos, 0.2)
    assert len(names) == 19
    assert held_out(videos[::-1], 0.2) == names
    assert len(held_out(videos[:2], 0.01)) == 1
    assert held_out(videos[:1], 0.9) == set()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("louder = 3\n", "unknown or missing"),
        ("test_share = 1.5\n", "between 0 and 1"),
        ("short_side = 2\n", "16..4096"),
        ("max_music = 50\n", "in 0..1"),
        ("min_loudness_dbfs = 3.0\n", "negative number"),
        ("[[category]]\nname = 'rain'\n", "unknown or missing"),
        ("not toml", "not a recipe in TOML"),
    ],
)
def test_a_wrong_recipe_is_refused_with_its_fault(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "recipe.toml").write_text(text)
    with pytest.raises(RecipeError, match=says):
        read_recipe(str(tmp_path / "recipe.toml"), {})


def test_an_unknown_recipe_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(RecipeError, match="greatest-hits, into-the-wild"):
        read_recipe("greatest", {})


@pytest.mark.parametrize("tagger", ["nobody", "tests.support.taggers:nothing", "tests.nowhere:tag"])
def test_an_unknown_tagger_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], tagger: str) -> None:
    assert main(["prepare", str(tmp_path), str(tmp_path / "out"), "--tagger", tagger]) == 2
    assert "is no tagger" in capsys.readouterr().err
