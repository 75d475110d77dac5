"""The index pairs by scene, keeps what must not be in two splits together, and says what is wrong with a recipe."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from training.data.index import Pair, PairingError, build_scene_index, read_index, write_index


def both_splits(index: Path) -> tuple[list[Pair], list[Pair]]:
    return read_index(index, "train"), read_index(index, "test")


def test_no_source_is_in_two_splits(index: Path) -> None:
    train, test = both_splits(index)
    assert not {p.source for p in train} & {p.source for p in test}
    assert not {p.image for p in train} & {p.image for p in test}


def test_every_scene_is_in_both_splits(index: Path) -> None:
    for pairs in both_splits(index):
        assert {p.scene for p in pairs} == {"snow", "rain", "summer", "content"}


def test_near_duplicates_stay_together(index: Path) -> None:
    sources = {p.image.name: p.source for pairs in both_splits(index) for p in pairs}
    assert sources["zz-smaller.png"] == sources["rain-0.png"]


def test_photographs_that_do_not_show_the_scene_are_left_out(index: Path) -> None:
    images = {p.image.name for pairs in both_splits(index) for p in pairs}
    assert "snow-0.png" in images
    assert "no-snow.png" not in images


def test_sounds_are_split_by_file(index: Path) -> None:
    train, test = both_splits(index)
    assert {p.sound.name for p in train if p.sound and p.scene == "rain"} == {"rain.ogg"}
    assert {p.sound.name for p in test if p.sound and p.scene == "rain"} == {"shower.wav"}


def test_a_single_recording_is_split_by_time_with_a_gap(index: Path) -> None:
    train, test = both_splits(index)
    assert {(p.start, p.seconds) for p in train if p.scene == "snow"} == {(0.0, 4.0)}
    (start, seconds), *others = {(p.start, p.seconds) for p in test if p.scene == "snow"}
    assert not others
    assert (start, seconds) == (5.0, pytest.approx(3.0, abs=0.01))


def test_scenes_weigh_the_same_whatever_their_number_of_photographs(index: Path) -> None:
    train, _ = both_splits(index)
    for scene in ("snow", "rain", "summer"):
        assert sum(p.weight for p in train if p.scene == scene) == pytest.approx(1.0)


def test_a_scene_without_sounds_gives_images_to_be_restyled(index: Path) -> None:
    train, _ = both_splits(index)
    assert {p.sound for p in train if p.scene == "content"} == {None}


def test_rerunning_the_builder_changes_nothing(index: Path, data: Path) -> None:
    before = index.read_bytes()
    build_scene_index(data / "recipe.toml", data, index)
    assert index.read_bytes() == before


def test_paths_are_relative_to_the_index(index: Path) -> None:
    for line in index.read_text().splitlines():
        assert not Path(json.loads(line)["image"]).is_absolute()


def test_written_pairs_are_read_back(index: Path, tmp_path: Path) -> None:
    train, _ = both_splits(index)
    write_index(train, tmp_path / "copy.jsonl")
    copied = read_index(tmp_path / "copy.jsonl", "train")
    assert [p.image.resolve() for p in copied] == [p.image.resolve() for p in train]
    assert [p.weight for p in copied] == [p.weight for p in train]


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("[[scene", "not a pairing recipe"),
        ("", "not a pairing recipe"),
        ('[[scene]]\nname = "snow"', "scene 1"),
        ('[[scene]]\nname = "snow"\nphotos = ["nothing/*.png"]', "no photograph matches"),
        ('[[scene]]\nname = "snow"\nphotos = ["snow/*.png"]\nselect = { warmth = [0, 1] }', "warmth"),
        ('[[scene]]\nname = "snow"\nphotos = ["snow/*.png"]\nsounds = [{ split = "test" }]', "'snow'"),
    ],
)
def test_a_broken_recipe_says_what_is_wrong(data: Path, tmp_path: Path, recipe: str, message: str) -> None:
    (tmp_path / "recipe.toml").write_text(recipe)
    with pytest.raises(PairingError, match=message):
        build_scene_index(tmp_path / "recipe.toml", data, tmp_path / "index.jsonl")
    assert not (tmp_path / "index.jsonl").exists()


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "index.jsonl").write_text('{"image": "a.png"}\n')
    with pytest.raises(PairingError, match="line 1"):
        read_index(tmp_path / "index.jsonl", "train")


def test_an_empty_split_is_refused(tmp_path: Path) -> None:
    (tmp_path / "index.jsonl").write_text("")
    with pytest.raises(PairingError, match="no pair in the split 'train'"):
        read_index(tmp_path / "index.jsonl", "train")


def test_an_index_of_another_system_is_read(index: Path) -> None:
    """With a byte order mark, CRLF, blank lines and backslashes."""
    lines = [json.loads(line) for line in index.read_text().splitlines()]
    for line in lines:
        for key in ("image", "sound"):
            line[key] = line[key] and line[key].replace("/", "\\")
    foreign = index.with_name("foreign.jsonl")
    foreign.write_bytes(b"\xef\xbb\xbf" + "\r\n\r\n".join(json.dumps(line) for line in lines).encode() + b"\r\n")
    assert read_index(foreign, "train") == read_index(index, "train")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"start": "soon"}, "line 1, is not an index line"),
        ({"weight": -1}, "`weight` is -1"),
        ({"seconds": float("inf")}, "`seconds` is inf"),
        ({"image": 3}, "`image` is a path"),
        ({"mood": "calm"}, "mood"),
    ],
)
def test_a_line_with_a_wrong_value_is_named(change: dict, message: str, index: Path) -> None:
    values = json.loads(index.read_text().splitlines()[0])
    bad = index.with_name("bad.jsonl")
    bad.write_text(json.dumps({**values, **change}) + "\n")
    with pytest.raises(PairingError, match=message):
        read_index(bad, "train")


def test_an_index_that_is_not_utf_8_is_told(index: Path) -> None:
    bad = index.with_name("latin.jsonl")
    bad.write_bytes('{"image": "schön.png"}'.encode("latin-1"))
    with pytest.raises(PairingError, match="is not UTF-8"):
        read_index(bad, "train")
