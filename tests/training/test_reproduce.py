"""The paper's tables are made again at the smallest scale: every row, every figure, in one file."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Browser, expect

from tests.support.browsing import launched_browser
from tests.support.media import make_voice, write_wav
from tests.support.words import write_words
from training import checkpoint
from training.__main__ import main
from training.data.index import read_index
from training.evaluation.metrics.probe import train_probe
from training.presets import PRESETS, with_settings
from training.reproduce.orderings import Verdict
from training.reproduce.progress import LOSSES, MATCHES
from training.reproduce.rows import LONGER_NAME
from training.reproduce.run import Job, train_row
from training.reproduce.scale import SCALES, scaled

TRAINED = {
    "Class Pred.",
    "AdaIN",
    "Keyword",
    "Paper (reimplemented)",
    LONGER_NAME,
    "CycleGAN",
    "Late fusion",
    "w/o ID loss",
    "+ pre-training on the index",
}
SMOKE = SCALES["smoke"]


@pytest.fixture(scope="module")
def reproduced(index: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a whole run of `reproduce smoke`, with a probe that was trained briefly."""
    torch.set_num_threads(1)
    beside = index.with_suffix(".probe.pt")
    if not beside.exists():
        probe = train_probe(read_index(index, "train"), ["rain", "snow", "summer"], epochs=2)
        checkpoint.save(beside, {"networks": probe.state_dict()})
        os.utime(beside, (index.stat().st_mtime + 10,) * 2)  # younger than the index, so it is used
    folder = tmp_path_factory.mktemp("reproduced")
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    speech = write_wav(elsewhere / "voice.wav", make_voice(2.0))
    (elsewhere / "photo.png").write_bytes(next((data / "photos" / "other").iterdir()).read_bytes())
    assert main([*command(index, folder), "--unseen", str(elsewhere), "--speech", str(speech)]) == 0
    return folder


def command(index: Path, folder: Path) -> list[str]:
    words = write_words(index.parent / "words.txt")
    sources = ["--word-vectors", str(words), "--tagger", "tests.support.taggers:tone_is_bird"]
    return ["reproduce", "smoke", "--index", str(index), "--output", str(folder), "--processes", "1", *sources]


def results(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text())


# What is measured


def test_every_row_that_can_be_trained_is_measured_beside_the_controls(reproduced: Path) -> None:
    figures = results(reproduced)["figures"]
    assert set(figures) == TRAINED | {"Target", "Copy of the input", "Colour transfer"}
    for name, found in figures.items():
        assert {"right scene", "avc_own", "avc_own, shuffled sound", "avc_own: rain"} <= set(found), name


def test_the_net_that_judges_drives_no_row(reproduced: Path) -> None:
    judging = checkpoint.load(reproduced / "judge" / "checkpoint.pt")["networks"]
    for folder in (reproduced / "rows").iterdir():
        row = checkpoint.load(folder / "checkpoint.pt")["networks"]
        if name := next((k for k in row if k.startswith("image_tower.")), None):
            assert not torch.equal(judging[name], row[name]), folder


def test_the_longer_run_is_followed_from_its_first_checkpoint_to_its_last(reproduced: Path) -> None:
    progress = results(reproduced)["progress"]
    assert set(progress) == {
        "losses",
        "right scene",
        "swap effect /255",
        "gradient correlation",
        MATCHES,
        "audio's share",
    }
    assert progress["right scene"]["right scene"][0][0] == 0
    assert progress["right scene"]["right scene"][-1][0] == SMOKE.longer_images
    (before, after) = progress["audio's share"].values()
    assert before[0][1]["mean"] > after[0][1]["mean"] > 0  # the norm subtracts what is the same everywhere
    assert set(progress["losses"]) <= set(LOSSES)


def test_each_ordering_of_the_paper_has_a_verdict(reproduced: Path) -> None:
    orderings = results(reproduced)["orderings"]
    assert set(orderings) == {"Table 1", "Table 2", "Table 3", "Table 4", "Controls"}
    verdicts = {verdict.value for verdict in Verdict}
    for found in orderings.values():
        assert found
        assert {each["verdict"] for each in found} <= verdicts
    assert any(each["verdict"] == "left out" and "SeLaVi" in each["found"] for each in orderings["Table 4"])


def test_the_same_command_trains_and_measures_nothing_anew(reproduced: Path, index: Path) -> None:
    files = [
        *reproduced.glob("rows/*/*.json"),
        *reproduced.glob("rows/*/checkpoint.pt"),
        *reproduced.glob("controls/*"),
    ]
    before, said = {file: file.stat().st_mtime_ns for file in files}, (reproduced / "results.json").read_text()
    page = (reproduced / "report.html").read_text()
    assert main(command(index, reproduced)) == 0
    assert {file: file.stat().st_mtime_ns for file in files} == before
    assert (reproduced / "results.json").read_text() == said
    assert "Left out: no recording of speech" in (reproduced / "report.html").read_text()
    (reproduced / "report.html").write_text(page)  # as the other tests expect it


def test_rows_of_other_settings_are_refused(reproduced: Path, index: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command(index, reproduced), "--seed", "1"]) == 2
    assert "other settings" in capsys.readouterr().err


# The report


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched_browser() as launched:
        yield launched


def test_the_report_has_its_tables_and_images_and_asks_nothing_from_outside(
    reproduced: Path,
    browser: Browser,
) -> None:
    page = browser.new_context(offline=True).new_page()
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda said: complaints.append(said.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    address = (reproduced / "report.html").as_uri()
    page.goto(address)
    for number in range(1, 5):
        expect(page.locator(f"#table-{number}")).to_be_visible()
    expect(page.locator("#table-1")).to_contain_text("0.842")  # the paper's target
    expect(page.locator("#table-3 tr", has_text="+ SeLaVi")).to_contain_text("published weights")
    for name in ("comparison", "volume", "mixing", "unseen", "soundtrack", "speech", "regions"):
        images = page.locator(f"#panel-{name} img")
        assert images.count() > 1
        assert images.evaluate_all("all => all.every((one) => one.complete && one.naturalWidth === 32)")
    assert page.locator("#progress svg").count() == 5  # losses are logged every 20 steps, of which there are fewer
    assert page.locator("svg").count() == 4 + 5
    assert [url for url in asked if url != address and not url.startswith("data:")] == []
    assert complaints == []
    assert (reproduced / "report.html").stat().st_size < 1_000_000


def test_the_report_says_how_many_photographs_stand_behind_each_row(reproduced: Path) -> None:
    page = (reproduced / "report.html").read_text()
    (line,) = re.findall(r"<tr><th>CycleGAN</th>.*?</tr>", page)[:1]
    assert line.endswith("<td>3</td></tr>")


# Going on


def job(index: Path, folder: Path) -> Job:
    config = with_settings(scaled(PRESETS["paper"], SMOKE, seed=0), ["images=16", "checkpoint_seconds=0.0"])
    folder.mkdir()
    return Job("Paper (reimplemented)", config, folder, index)


def test_a_row_that_was_killed_goes_on_to_the_same_weights(index: Path, tmp_path: Path) -> None:
    whole, killed = job(index, tmp_path / "whole"), job(index, tmp_path / "killed")
    train_row(whole)
    process = multiprocessing.get_context("spawn").Process(target=train_row, args=(killed,))
    process.start()
    while _seen(killed) < 4:
        assert process.is_alive()
        time.sleep(0.05)
    process.kill()
    process.join()
    assert _seen(killed) < 16
    said = train_row(killed)
    assert 0 < said["images_of_this_part"] < said["images"] == 16
    weights = [checkpoint.load(each.checkpoint)["networks"] for each in (whole, killed)]
    assert all(torch.allclose(weights[0][name], weights[1][name], atol=1e-6) for name in weights[0])


def _seen(row: Job) -> int:
    return checkpoint.load(row.checkpoint)["images_seen"] if row.checkpoint.exists() else -1


def test_a_row_that_diverged_is_said_to_have(index: Path, tmp_path: Path) -> None:
    strict = job(index, tmp_path / "strict")
    strict = dataclasses.replace(strict, config=dataclasses.replace(strict.config, max_gradient_norm=1e-9))
    assert "diverged" in train_row(strict)["diverged"]
    assert "diverged" in train_row(strict)  # what is known of it is read


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--speech", "no.wav"], "no.wav"),
        (["--unseen", "nowhere"], "nowhere"),
        (["--processes", "0"], "1 or more"),
        (["--audio-weights", "clap=INDEX"], "selavi, wav2clip or scene"),
        (["--audio-weights", "selavi=no.pt"], "PRESET=FILE"),
    ],
)
def test_a_reproduction_of_bad_inputs_says_what_is_wrong(
    options: list[str], message: str, index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled = [option.replace("INDEX", str(index)) for option in options]
    assert main([*command(index, tmp_path), *filled]) == 2
    assert message in capsys.readouterr().err
