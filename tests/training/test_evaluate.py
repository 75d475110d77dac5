"""The evaluation measures a model and its controls on held-out pairs and writes a table, figures and a sheet."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from PIL import Image

from training import checkpoint
from training.evaluate import evaluate
from training.index import read_index
from training.metrics.probe import train_probe

MEASURES = {
    "right scene",
    "right scene, shuffled sound",
    "swap effect /255",
    "gradient correlation",
    "tint /255",
    "gain-monotone",
    "silence /255",
    "mix-monotone",
}


@pytest.fixture(scope="module")
def report(finished_run: Path, index: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an evaluation of the smoke run, with a probe that was trained briefly."""
    torch.set_num_threads(2)
    probe = train_probe(read_index(index, "train"), ["rain", "snow", "summer"], epochs=2)
    beside = index.with_suffix(".probe.pt")
    checkpoint.save(beside, {"networks": probe.state_dict()})
    os.utime(beside, (index.stat().st_mtime + 10,) * 2)  # younger than the index, so it is used
    output = tmp_path_factory.mktemp("report")
    evaluate([finished_run], index, output, pictures=3, size=32)
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


def test_silence_leaves_the_picture_alone_even_untrained(report: Path) -> None:
    rows = json.loads((report / "figures.json").read_text())["rows"]
    assert next(iter(rows.values()))["silence /255"]["mean"] < 1


def test_the_table_can_be_pasted(report: Path) -> None:
    text = (report / "table.md").read_text()
    assert text.startswith("| measure | smoke, 8 pictures")
    assert "3 held-out photographs at 32 px" in text


def test_a_sheet_shows_results(report: Path) -> None:
    (sheet,) = report.glob("*.png")
    with Image.open(sheet) as opened:
        assert opened.size == (5 * 32, 3 * 32)  # as it is, three scenes, one softer
