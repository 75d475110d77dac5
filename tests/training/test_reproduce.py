"""The paper's tables are made again at the smallest scale: every row, every figure, in one file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.media import make_voice, write_wav
from training.__main__ import main


@pytest.fixture(scope="session")
def reproduced(index: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a whole run of `reproduce smoke`."""
    folder = tmp_path_factory.mktemp("reproduced")
    unseen = folder / "elsewhere"
    unseen.mkdir()
    speech = write_wav(unseen / "voice.wav", make_voice(2.0))
    (unseen / "photo.png").write_bytes(next((data / "photos" / "other").iterdir()).read_bytes())
    assert main([*command(index, folder), "--unseen", str(unseen), "--speech", str(speech)]) == 0
    return folder


def command(index: Path, folder: Path) -> list[str]:
    return ["reproduce", "smoke", "--index", str(index), "--output", str(folder)]


def test_every_row_that_can_be_trained_is_measured(reproduced: Path) -> None:
    figures = json.loads((reproduced / "results.json").read_text())["figures"]
    assert {"Ours", "Ours, as published", "CycleGAN", "Late fusion", "w/o ID loss", "From scratch"} <= set(figures)
    assert {"Target", "Copy of the input", "Colour transfer"} <= set(figures)
    assert all("right scene" in found for found in figures.values())
