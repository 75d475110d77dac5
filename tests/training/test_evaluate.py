"""The evaluation measures a model and its controls on held-out pairs and writes a table, figures and a sheet."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.training.test_metrics_frechet import StandIn
from tests.training.test_metrics_openl3 import random_layers, write_keras
from training import checkpoint
from training.__main__ import main
from training.data.index import read_index
from training.evaluation.evaluate import evaluate
from training.evaluation.metrics.probe import train_probe
from training.evaluation.metrics.torchscript import torchscript_allowed

MEASURES = {
    "right scene",
    "right scene, shuffled sound",
    "swap effect /255",
    "gradient correlation",
    "tint /255",
    "gain-monotone",
    "silence /255",
    "mix-monotone",
    "avc_own",
    "avc_own, shuffled sound",
    "frechet_efficientnet",
}


@pytest.fixture(scope="module")
def report(pretrained_run: Path, index: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an evaluation of a smoke run of our own model, with a probe that was trained briefly."""
    torch.set_num_threads(1)
    probe = train_probe(read_index(index, "train"), ["rain", "snow", "summer"], epochs=2)
    beside = index.with_suffix(".probe.pt")
    checkpoint.save(beside, {"networks": probe.state_dict()})
    os.utime(beside, (index.stat().st_mtime + 10,) * 2)  # younger than the index, so it is used
    output = tmp_path_factory.mktemp("report")
    evaluate([pretrained_run], index, output, pictures=3, size=32)
    return output


def test_every_measure_has_an_interval(report: Path) -> None:
    rows = json.loads((report / "figures.json").read_text())["rows"]
    model = next(iter(rows.values()))
    assert set(model) >= MEASURES
    for estimate in model.values():
        assert estimate["low"] <= estimate["mean"] <= estimate["high"]


def test_the_input_itself_is_a_control(report: Path) -> None:
    rows = json.loads((report / "figures.json").read_text())["rows"]
    assert rows["copy of the input"]["right scene"]["mean"] == pytest.approx(1 / 3)


def test_images_under_other_sounds_are_a_control(report: Path) -> None:
    rows = json.loads((report / "figures.json").read_text())["rows"]
    model, shuffled, *_ = rows.values()
    # With three sounds and one image of each, judged right, by the next sound and by the one after, all add up.
    total = model["right scene"]["mean"] + 2 * model["right scene, shuffled sound"]["mean"]
    assert total == pytest.approx(1)
    assert shuffled["avc_own"]["mean"] != model["avc_own"]["mean"]
    assert "gain-monotone" not in shuffled


def test_the_copy_changes_nothing_and_hears_nothing(report: Path) -> None:
    copy = json.loads((report / "figures.json").read_text())["rows"]["copy of the input"]
    assert copy["change /255"]["mean"] == copy["swap effect /255"]["mean"] == 0
    assert copy["gradient correlation"]["mean"] == pytest.approx(1)
    assert copy["avc_own"]["mean"] == pytest.approx(copy["avc_own, shuffled sound"]["mean"], abs=1e-6)


def test_colour_transfer_makes_images_of_a_scene_by_colour_alone(report: Path) -> None:
    rows = json.loads((report / "figures.json").read_text())["rows"]
    transfer, copy = rows["colour transfer"], rows["copy of the input"]
    assert transfer["change /255"]["mean"] > 10
    assert transfer["frechet_efficientnet"]["mean"] < copy["frechet_efficientnet"]["mean"]


def test_what_was_not_given_is_said_to_be_left_out(report: Path) -> None:
    text = (report / "table.md").read_text()
    for name, option in (("AVC (OpenL3)", "--openl3-audio"), ("FID (Clean-FID)", "--inception"), ("CLIP", "--clip")):
        assert f"Left out: {name}" in text
        assert option in text
        assert f"| {name}" not in text
    assert "9 pictures against" in text  # too few for 320 features


def test_intervals_are_by_source(pretrained_run: Path, index: Path, report: Path, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in index.read_text().splitlines()]
    for line in lines:
        for key in ("image", "sound"):
            line[key] = line[key] and str(index.parent / line[key])
        if line["split"] == "test":
            line["source"] = "one walk"
    walk = tmp_path / "walk.jsonl"
    walk.write_text("".join(json.dumps(line) + "\n" for line in lines))
    beside = walk.with_suffix(".probe.pt")
    beside.write_bytes(index.with_suffix(".probe.pt").read_bytes())
    os.utime(beside, (walk.stat().st_mtime + 10,) * 2)
    evaluate([pretrained_run], walk, tmp_path / "report", pictures=3, size=32)
    rows = json.loads((tmp_path / "report" / "figures.json").read_text())["rows"]
    assert all(e["low"] == pytest.approx(e["high"]) for row in rows.values() for e in row.values())
    apart = json.loads((report / "figures.json").read_text())["rows"]
    assert all(name in apart for name in rows)
    assert any(e["low"] < e["high"] for row in apart.values() for e in row.values())


def test_one_tower_of_openl3_is_not_enough(
    pretrained_run: Path, index: Path, report: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["evaluate", str(pretrained_run), "--index", str(index), "--output", str(tmp_path), "--pictures", "2"]
    assert main([*command, "--size", "32", "--openl3-audio", "audio.h5"]) == 2
    assert "--openl3-image" in capsys.readouterr().err


def test_given_weights_add_their_columns(
    pretrained_run: Path, index: Path, report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.evaluation.metrics.openl3.HOP_SAMPLES", 48_000)  # fewer windows, sooner done
    audio = write_keras(tmp_path / "audio.h5", random_layers(1, seed=2))
    image = write_keras(tmp_path / "image.h5", random_layers(3, seed=3))
    inception = tmp_path / "inception.pt"
    with torchscript_allowed():
        torch.jit.script(StandIn()).save(str(inception))
    command = ["evaluate", str(pretrained_run), "--index", str(index), "--output", str(tmp_path), "--pictures", "2"]
    options = ["--openl3-audio", str(audio), "--openl3-image", str(image), "--inception", str(inception)]
    assert main([*command, "--size", "224", *options]) == 0
    rows = json.loads((tmp_path / "figures.json").read_text())["rows"]
    for name in ("copy of the input", "colour transfer"):
        assert {"AVC (OpenL3)", "AVC (OpenL3), shuffled sound", "FID (Clean-FID)"} <= set(rows[name])
    assert "Left out: AVC" not in (tmp_path / "table.md").read_text()


def test_the_table_can_be_pasted(report: Path) -> None:
    text = (report / "table.md").read_text()
    assert text.startswith("| measure | smoke, 8 images")
    assert "3 held-out photographs at 32 px" in text


def test_a_sheet_shows_results(report: Path) -> None:
    (sheet,) = report.glob("*.png")
    with Image.open(sheet) as opened:
        assert opened.size == (5 * 32, 3 * 32)  # as it is, three scenes, one softer
