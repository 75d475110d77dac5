"""A rater's way through the study in a real browser: listen, rank, go back, reload, save."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browsing import PATIENCE_MS
from tests.support.media import make_noise, make_photo, write_png, write_wav
from training.data.index import Pair, write_index
from training.study.page import write_study
from training.study.report import report_study


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study of four methods and two samples."""
    sound = write_wav(tmp_path / "rain.wav", make_noise(4.0, 0.1))
    images = [write_png(tmp_path / f"{n}.png", make_photo(60, 60, seed=n)) for n in range(2)]
    pairs = [Pair(image, sound, 0.0, 4.0, "test", image.stem, 1.0, "rain") for image in images]
    write_index(pairs, tmp_path / "index.jsonl")
    methods = {}
    for place, name in enumerate(("ours", "keyword", "adain", "labels")):
        methods[name] = tmp_path / name
        methods[name].mkdir()
        for number in range(2):
            write_png(methods[name] / f"{number:04d}.png", make_photo(48, 48, seed=10 * place + number))
    return write_study(tmp_path / "study", tmp_path / "index.jsonl", methods, count=2, size=96)


def rank(page: Page, *codes: str) -> None:
    for code in codes:
        page.locator(f"[data-code={code}]").click()


def test_a_rater_ranks_and_the_report_counts_it(study: Path, browser: Browser, tmp_path: Path) -> None:
    key = json.loads(study.with_name("key.json").read_text())
    best, second, third, worst = (
        next(c for c, m in key["methods"].items() if m == name) for name in ("ours", "keyword", "adain", "labels")
    )
    page = browser.new_context().new_page()
    page.set_default_timeout(PATIENCE_MS)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(study.as_uri())
    expect(page.locator("#begin")).to_be_disabled()
    page.locator("#rater").fill("Ann B.")
    page.locator("#begin").click()
    rank(page, second, best)
    rank(page, second)  # takes both back
    expect(page.locator("[data-place]")).to_have_count(0)
    rank(page, best, second, third)
    expect(page.locator(f"[data-code={worst}]")).to_have_attribute("data-place", "4")
    expect(page.locator("#next")).to_be_disabled()  # nobody has listened yet
    page.evaluate("document.getElementById('sound').play()")
    page.locator("#next").click()
    expect(page.locator("#title")).to_have_text("Sound 2 of 2")
    page.reload()  # it goes on where it was
    page.locator("#begin").click()
    expect(page.locator("#title")).to_have_text("Sound 2 of 2")
    page.evaluate("document.getElementById('sound').play()")
    rank(page, best, third, worst)
    page.locator("#next").click()
    with page.expect_download() as saving:
        page.locator("#save").click()
    saved = tmp_path / saving.value.suggested_filename
    saving.value.save_as(saved)
    assert saved.name == "rankings-Ann_B_.json"
    report = report_study(study.with_name("key.json"), [saved], tmp_path / "report.json")
    means = {name: estimate.mean for name, estimate in report.methods.items()}
    assert means == {"ours": 4, "adain": 2.5, "keyword": 2, "labels": 1.5}
    assert complaints == []


def test_every_rater_sees_an_order_of_their_own(study: Path, browser: Browser) -> None:
    orders = set()
    for number in range(12):
        page = browser.new_context().new_page()
        page.goto(study.as_uri())
        page.locator("#rater").fill(f"rater {number}")
        page.locator("#begin").click()
        orders.add(tuple(page.evaluate("[...document.querySelectorAll('.result')].map((one) => one.dataset.code)")))
        if number == 0:
            page.screenshot(path=str(study.with_name("seen.png")))
        page.context.close()
    assert len(orders) > 2  # 24 orders: a chance of 1 in 10^10 for two or fewer
