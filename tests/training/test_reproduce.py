"""The paper's tables are made again at the smallest scale: every row, every figure, in one file."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import re
import time
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Browser, expect

from tests.browser.test_page import browser  # noqa: F401  # fixture
from tests.support.media import make_voice, write_wav
from tests.support.words import write_words
from training import checkpoint
from training.__main__ import main
from training.config import PRESETS
from training.index import read_index
from training.metrics.probe import train_probe
from training.reproduce.measure import Figure
from training.reproduce.orderings import Verdict, judge, table_orderings
from training.reproduce.rows import ROWS
from training.reproduce.run import Job, plan, train_row
from training.reproduce.scale import SCALES, scaled

TRAINED = {
    "Class Pred.",
    "AdaIN",
    "Keyword",
    "Ours",
    "Ours, as published",
    "CycleGAN",
    "Late fusion",
    "w/o ID loss",
    "From scratch",
    "+ Correspondence net",
}
SMOKE = SCALES["smoke"]


@pytest.fixture(scope="module")
def reproduced(index: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a whole run of `reproduce smoke`, with a probe that was trained briefly."""
    torch.set_num_threads(2)
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
    return ["reproduce", "smoke", "--index", str(index), "--output", str(folder), *sources]


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


def test_the_report_has_its_tables_and_pictures_and_asks_nothing_from_outside(
    reproduced: Path,
    browser: Browser,  # noqa: F811
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
        pictures = page.locator(f"#panel-{name} img")
        assert pictures.count() > 1
        assert pictures.evaluate_all("all => all.every((one) => one.complete && one.naturalWidth === 32)")
    assert page.locator("svg").count() == 4
    assert [url for url in asked if url != address and not url.startswith("data:")] == []
    assert complaints == []
    assert (reproduced / "report.html").stat().st_size < 1_000_000


def test_the_report_says_how_many_photographs_stand_behind_each_row(reproduced: Path) -> None:
    page = (reproduced / "report.html").read_text()
    (line,) = re.findall(r"<tr><th>CycleGAN</th>.*?</tr>", page)[:1]
    assert line.endswith("<td>3</td></tr>")


# Verdicts


@pytest.mark.parametrize(
    ("better", "worse", "higher", "verdict"),
    [
        (Figure(0.8, 0.7, 0.9, 9), Figure(0.5, 0.4, 0.6, 9), True, Verdict.HOLDS),
        (Figure(0.8, 0.7, 0.9, 9), Figure(0.5, 0.4, 0.6, 9), False, Verdict.FAILS),
        (Figure(0.8, 0.5, 0.9, 9), Figure(0.5, 0.4, 0.6, 9), True, Verdict.OPEN),
        (Figure(0.8, 0.8, 0.8, 1), Figure(0.5, 0.4, 0.6, 9), True, Verdict.OPEN),  # one source has no interval
        (None, Figure(0.5, 0.4, 0.6, 9), True, Verdict.LEFT_OUT),
    ],
)
def test_an_ordering_is_told_where_intervals_lie_apart(
    better: Figure | None, worse: Figure, higher: bool, verdict: Verdict
) -> None:
    assert judge(better, worse, higher) is verdict


def test_a_single_photograph_has_no_interval() -> None:
    assert str(Figure(0.5, 0.5, 0.5, 1)) == "0.5"
    assert str(Figure(0.5, 0.4, 0.6, 2)) == "0.5 [0.4, 0.6]"
    assert str(Figure(1423.0, 999.4, 1501.0, 2)) == "1,423 [999, 1,501]"


def test_the_paper_says_that_a_lower_frechet_distance_is_better() -> None:
    figures = {"Ours": {"frechet_efficientnet": Figure(9.0, 8.0, 10.0, 9)}}
    figures["CycleGAN"] = {"frechet_efficientnet": Figure(20.0, 18.0, 22.0, 9)}
    found = [o for o in table_orderings(3, ROWS, figures) if {o.better, o.worse} == {"Ours", "CycleGAN"}]
    (by_distance,) = [o for o in found if o.measure == "frechet_efficientnet"]
    assert (by_distance.better, by_distance.verdict) == ("Ours", Verdict.HOLDS)
    assert by_distance.paper == "34.139 against 35.244"


def test_the_baselines_enter_the_orderings_that_the_paper_states() -> None:
    found = {(o.better, o.worse, o.paper) for o in table_orderings(1, ROWS, {})}
    assert ("Ours", "Keyword", "34.139 against 38.066") in found
    assert ("Ours", "AdaIN", "0.82 against 0.812") in found
    assert ("Keyword", "Class Pred.", "0.809 against 0.801") in found  # said in the text
    assert not any({better, worse} == {"AdaIN", "Keyword"} for better, worse, _ in found)
    by_scene = {(o.better, o.worse, o.paper) for o in table_orderings(2, ROWS, {})}
    assert ("Ours", "Class Pred.", "0.816 against 0.793") in by_scene
    assert ("Keyword", "Class Pred.", "0.827 against 0.819") in by_scene


# Rows and scales


def test_each_row_is_a_preset_that_exists() -> None:
    assert {row.preset for row in ROWS} <= set(PRESETS)
    assert len({row.name for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("name", [row.preset for row in ROWS])
def test_a_scale_changes_sizes_and_not_what_a_preset_is_about(name: str) -> None:
    whole, small = PRESETS[name], scaled(PRESETS[name], SCALES["cpu"], seed=0)
    sizes = {"nce_patches", "projector_width"}
    for key, value in vars(whole.losses).items():
        assert key in sizes or getattr(small.losses, key) == value, key
    for part, key in (
        ("generator", "conditioning"),
        ("generator", "output"),
        ("discriminator", "conditioning"),
        ("discriminator", "mismatched_pairs"),
        ("correspondence", "finetuned"),
        ("audio", "level_preserving"),
        ("data", "source_sounds"),
        ("condition", "kind"),
    ):
        assert getattr(getattr(small, part), key) == getattr(getattr(whole, part), key), key
    assert bool(small.correspondence.steps) == bool(whole.correspondence.steps)
    inside = whole.generator.encoder_blocks < whole.generator.blocks
    assert (small.generator.encoder_blocks < small.generator.blocks) == inside


def test_the_scale_of_the_paper_is_the_presets_as_they_are() -> None:
    for row in ROWS:
        assert scaled(PRESETS[row.preset], SCALES["paper"], seed=0) == PRESETS[row.preset]


def test_rows_without_their_weights_are_left_out_with_the_reason(index: Path, tmp_path: Path) -> None:
    sources = (str(write_words(tmp_path / "words.txt")), "tests.support.taggers:tone_is_bird")
    jobs, left_out = plan(ROWS, SCALES["paper"], index, tmp_path, 0, {"wav2clip": index}, *sources)
    assert {job.name for job in jobs} == TRAINED | {"+ Wav2CLIP"}
    assert "--audio-weights selavi=FILE" in left_out["+ SeLaVi"]
    assert "narrow" in plan(ROWS, SMOKE, index, tmp_path, 0, {"wav2clip": index}, *sources)[1]["+ Wav2CLIP"]


def test_rows_without_words_or_a_tagger_are_left_out_with_the_reason(index: Path, tmp_path: Path) -> None:
    words = str(write_words(tmp_path / "words.txt"))
    jobs, left_out = plan(ROWS, SMOKE, index, tmp_path, 0, {}, words, "none")
    assert "Keyword" in {job.name for job in jobs}
    assert "needs a tagger" in left_out["Class Pred."]
    without = plan(ROWS, SMOKE, index, tmp_path, 0, {}, str(tmp_path / "nowhere.txt"), "none")[1]
    assert "nowhere.txt" in without["Keyword"]
    assert "nowhere.txt" in without["Class Pred."]
    assert "AdaIN" not in without


# Going on


def job(index: Path, folder: Path) -> Job:
    config = dataclasses.replace(scaled(PRESETS["scratch"], SMOKE, seed=0), images=40, checkpoint_seconds=0.0)
    folder.mkdir()
    return Job("From scratch", config, folder, index)


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
    assert _seen(killed) < 40
    said = train_row(killed)
    assert 0 < said["images_of_this_part"] < said["images"] == 40
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
        (["--audio-weights", "clap=INDEX"], "selavi or wav2clip"),
        (["--audio-weights", "selavi=no.pt"], "PRESET=FILE"),
    ],
)
def test_a_reproduction_of_bad_inputs_says_what_is_wrong(
    options: list[str], message: str, index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled = [option.replace("INDEX", str(index)) for option in options]
    assert main([*command(index, tmp_path), *filled]) == 2
    assert message in capsys.readouterr().err
