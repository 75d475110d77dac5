"""Both pages for everybody, in every state: axe-core on a desk and a telephone, light and dark; targets for fingers."""

from pathlib import Path
from typing import Literal, get_args

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.support.browsing import DESK, PHONE, Visit, choose, drop_files, next_result, result_of, set_dial
from tests.support.running_service import RunningService
from tests.support.video import Clip, noise_track, write_video

SMALLEST = 24  # WCAG 2.2, 2.5.8: in CSS pixels
Scheme = Literal["light", "dark"]

_SMALL = """(least) => [...document.querySelectorAll("a, button, input[type=range], select, summary, [role=slider]")]
    .filter((node) => node.checkVisibility())
    .map((node) => [node.id || node.className || node.textContent, node.getBoundingClientRect()])
    .filter(([, { width, height }]) => width < least || height < least)
    .map(([name, { width, height }]) => `${name}: ${width} x ${height}`)"""


def faults_of(page: Page) -> list[str]:
    """What is wrong with the page in its present state, at any size and in any scheme."""
    faults = []
    for width, height in (DESK, PHONE):
        page.set_viewport_size({"width": width, "height": height})
        for scheme in get_args(Scheme):
            page.emulate_media(color_scheme=scheme)
            page.evaluate("document.getAnimations().forEach((one) => one.finish?.())")
            found = Axe().run(page).response["violations"]
            faults += [
                f"{width} {scheme} {fault['id']}: {node['html'][:120]}" for fault in found for node in fault["nodes"]
            ]
        small = [] if page.locator("dialog").count() else page.evaluate(_SMALL, SMALLEST)
        faults += [f"{width} too small: {one}" for one in small]
        if page.evaluate("document.documentElement.scrollWidth") > width:
            faults.append(f"{width}: something sticks out")
    return faults


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_video(tmp_path / "walk.mp4", Clip(width=160, height=90, fps=10, frames=20), noise_track(2.0))


def test_the_photo_page_has_no_fault_in_any_state(visit: Visit, photo: Path, sound: Path, clip: Path) -> None:
    page = visit.page
    expect(page.locator("#gallery")).to_be_visible()
    assert faults_of(page) == []
    choose(page, photo, sound, sound)  # a result, and a mix
    first = result_of(page)
    page.locator("#zoom-in").click()
    page.locator("#command summary").click()
    assert faults_of(page) == []
    set_dial(page, "#gain", -20)  # two results to go back to
    next_result(page, first)
    page.locator("#view-side").click()
    drop_files(page, [("notes.txt", "text/plain", b"words")])  # and an error
    expect(page.locator("#problem")).to_be_visible()
    expect(page.locator("#results li")).to_have_count(2)
    assert faults_of(page) == []
    drop_files(page, [("walk.mp4", "video/mp4", clip.read_bytes())])
    expect(page.locator("dialog")).to_be_visible()
    assert faults_of(page) == []


def test_the_video_page_has_no_fault_in_any_state(
    service: RunningService, browser: Browser, sound: Path, clip: Path
) -> None:
    visit = Visit(browser, f"{service.address}/video")
    page = visit.page
    assert faults_of(page) == []
    page.set_input_files("#video-input", clip)
    page.set_input_files("#sound-input", sound)
    expect(page.locator("#status")).to_contain_text("2.0 s")
    page.locator("#add-point").click()
    assert faults_of(page) == []
    page.locator("#go-preview").click()
    expect(page.locator("#sweep button")).to_have_count(5)
    page.locator("#go").click()
    expect(page.locator("#download")).to_be_visible()
    assert faults_of(page) == []
    visit.close()
    assert visit.complaints == []
