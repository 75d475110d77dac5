"""Both pages for everybody: axe-core at two sizes, light and dark; targets that a finger hits."""

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.support.browsing import Visit, choose, result_of
from tests.support.running_service import RunningService
from tests.support.video import Clip, noise_track, write_video

SMALLEST = 24  # WCAG 2.2, 2.5.8: in CSS pixels
SIZES = [(1440, 900), (390, 844)]

_SMALL = """(least) => [...document.querySelectorAll("a, button, input[type=range], select, summary, [role=slider]")]
    .filter((node) => node.checkVisibility())
    .map((node) => [node.id || node.className || node.textContent, node.getBoundingClientRect()])
    .filter(([, { width, height }]) => width < least || height < least)
    .map(([name, { width, height }]) => `${name}: ${width} x ${height}`)"""


def faults_of(page: Page) -> list[str]:
    page.evaluate("document.getAnimations().forEach((one) => one.finish?.())")
    found = Axe().run(page).response["violations"]
    return [f"{fault['id']}: {node['html'][:120]}" for fault in found for node in fault["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_neither_page_has_a_fault_of_access(
    service: RunningService,
    browser: Browser,
    photo: Path,
    sound: Path,
    tmp_path: Path,
    size: tuple[int, int],
    scheme: str,
) -> None:
    visit = Visit(browser, f"{service.address}/", size, scheme)
    page = visit.page
    assert faults_of(page) == []
    choose(page, photo, sound, sound)
    result_of(page)
    page.locator("#zoom-in").click()
    assert faults_of(page) == []
    assert page.evaluate(_SMALL, SMALLEST) == []

    page.goto(f"{service.address}/video")
    clip = write_video(tmp_path / "walk.mp4", Clip(width=160, height=90, fps=10, frames=20), noise_track(2.0))
    page.set_input_files("#video-input", clip)
    page.set_input_files("#sound-input", sound)
    expect(page.locator("#status")).to_contain_text("2.0 s")
    page.locator("#add-point").click()
    assert faults_of(page) == []
    assert page.evaluate(_SMALL, SMALLEST) == []
    visit.close()
    assert visit.complaints == []
