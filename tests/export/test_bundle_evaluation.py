"""`training evaluate-bundle` on a small bundle: what is drawn, what is measured, and what the controls say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.media import make_noise, make_photo, make_tone, write_png, write_wav
from training.__main__ import main
from training.evaluation.bundle_evaluation import auroc, loudest_window
from training.evaluation.bundle_table import mixed_embeddings, two_way_bootstrap

TINTS = {"snow": (235, 238, 245), "rain": (110, 112, 120), "summer": (60, 150, 40), "other": (200, 120, 60)}
PHOTOGRAPHS = """
sounds = "sounds.toml"
held_out_percent = 50
[[photographs]]
scene = "snow"
files = ["snow/*.png"]
[[photographs]]
scene = "rain"
files = ["rain/*.png"]
[[photographs]]
scene = "summer"
files = ["summer/*.png"]
[[photographs]]
files = ["other/*.png"]
"""
SOUNDS = """
[folders]
snow = "snow"
rain = "rain"
summer = "summer"
city = "city"
[folds]
0 = ["a"]
1 = ["b"]
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """photos/, sounds/ and the two recipes."""
    folder = tmp_path_factory.mktemp("data")
    for place, (kind, tint) in enumerate(TINTS.items()):
        (folder / "photos" / kind).mkdir(parents=True)
        for number in range(10):
            pixels = 0.3 * make_photo(300, 260, 10 * place + number) + 0.7 * np.array(tint)
            write_png(folder / "photos" / kind / f"{kind}{number}-1.png", pixels.clip(0, 255).astype(np.uint8))
    for place, kind in enumerate(("snow", "rain", "summer", "city")):
        (folder / "sounds" / kind).mkdir(parents=True)
        for source in "ab":
            waveform = make_noise(4.0, 0.05, seed=place) + 0.05 * make_tone(4.0, 300.0 * (place + 1))
            write_wav(folder / "sounds" / kind / f"{source}-{kind}.wav", waveform)
    (folder / "photographs.toml").write_text(PHOTOGRAPHS)
    (folder / "sounds.toml").write_text(SOUNDS)
    return folder


@pytest.fixture(scope="module")
def report(bundle: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("report")
    arguments = ["--data", str(data), "--recipe", str(data / "photographs.toml"), "--images", "3", "--sounds", "1"]
    arguments += ["--sounds-recipe", str(data / "sounds.toml"), "--output", str(output)]
    assert main(["evaluate-bundle", str(bundle), *arguments]) == 0
    return output


def test_mixed_embeddings_are_as_long_as_their_parts_on_average() -> None:
    parts, shares = np.array([[0.8, 0.0], [0.0, 0.4]], np.float32), np.array([[1, 0], [0.5, 0.5]], np.float32)
    mixed = mixed_embeddings(parts, shares)
    np.testing.assert_allclose(mixed[0], parts[0], rtol=1e-6)
    assert np.linalg.norm(mixed[1]) == pytest.approx(0.6)
    assert mixed[1, 0] == pytest.approx(2 * mixed[1, 1])


def test_the_table_has_the_model_and_its_controls(report: Path) -> None:
    figures = json.loads((report / "figures.json").read_text())["figures"]
    assert list(figures) == ["small 1.2.3", "colors transferred", "the input itself"]
    model, transfer, copy = figures.values()
    assert copy["change /255"]["mean"] == 0
    assert copy["gradient correlation"]["mean"] == pytest.approx(1, abs=1e-3)
    assert transfer["right scene"]["mean"] > copy["right scene"]["mean"]
    assert model["change by silence /255, the most"] < 2
    assert transfer["right of three scenes, by color statistics"]["mean"] > 0.9
    assert copy["right of three scenes, by color statistics"]["mean"] < 0.5
    assert "| right scene: snow |" in (report / "table.md").read_text()


def test_the_sheet_has_the_input_and_every_scene(report: Path) -> None:
    with Image.open(report / "small-1.2.3.png") as sheet:
        assert sheet.size == (256 * 4, 256 * 3)


def test_a_contact_sheet_has_a_column_for_each_scene_of_the_bundle(bundle: Path, data: Path, tmp_path: Path) -> None:
    arguments = ["--data", str(data), "--recipe", str(data / "photographs.toml"), "--images", "2", "--side", "64"]
    assert main(["contact-sheet", str(bundle), str(tmp_path / "sheet.png"), *arguments, "--folders", "other"]) == 0
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (64 * 7, 64 * 2)
    assert main(["contact-sheet", str(bundle), str(tmp_path / "sheet.png"), *arguments, "--folders", "nowhere"]) == 2


def test_a_contact_sheet_shows_other_methods_below(bundle: Path, data: Path, tmp_path: Path) -> None:
    arguments = ["--data", str(data), "--recipe", str(data / "photographs.toml"), "--images", "1", "--side", "64"]
    arguments += ["--folders", "other", "--with-input", "--beside", str(bundle), "--color-transfer"]
    assert main(["contact-sheet", str(bundle), str(tmp_path / "sheet.png"), *arguments]) == 0
    with Image.open(tmp_path / "sheet.png") as opened:
        pixels = np.asarray(opened, float)
    scenes = [sound["name"] for sound in json.loads((bundle / "manifest.json").read_text())["sounds"]]
    ours, beside, recolored = pixels.reshape(3, 64, -1, 64, 3).swapaxes(1, 2)  # of each the input, then the scenes
    assert np.array_equal(ours, beside)
    assert np.array_equal(ours[0], recolored[0])
    red, green, _blue = recolored[1 + scenes.index("summer")].mean(axis=(0, 1))
    assert green > red + 10  # as summer's photographs
    assert set(np.unique(recolored[1 + scenes.index("night")])) == {128}  # of which there is none


def test_an_interval_is_over_both_sources() -> None:
    values = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    both = two_way_bootstrap(values, ["a", "b", "c"], ["x", "y"])
    assert (both.mean, both.low, both.high) == (0.5, 0.0, 1.0)
    one = two_way_bootstrap(values, ["a", "b", "c"], ["x", "x"])  # one recording's windows: nothing to draw from
    assert one.low == one.high == 0.5


def test_what_is_unknown_is_left_out_of_the_mean() -> None:
    values = np.array([[1.0, np.nan], [0.0, np.nan]])
    assert two_way_bootstrap(values, ["a", "b"], ["x", "y"]).mean == 0.5


def test_auroc_is_one_for_separate_and_half_for_equal_values() -> None:
    assert auroc(np.array([0.8, 0.9]), np.array([0.1, 0.2])) == 1
    assert auroc(np.array([0.5, 0.5]), np.array([0.5])) == 0.5


def test_the_loudest_window_is_found_and_a_short_sound_repeated(tmp_path: Path) -> None:
    write_wav(tmp_path / "late.wav", np.concatenate([np.zeros(32_000), make_noise(1.0, 0.2, seed=1)[:16_000]]))
    assert np.abs(loudest_window(tmp_path / "late.wav", 16_000, 16_000)).mean() > 0.05
    write_wav(tmp_path / "short.wav", make_tone(0.5, 440.0))
    assert len(loudest_window(tmp_path / "short.wav", 16_000, 48_000)) == 48_000
