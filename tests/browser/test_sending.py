"""A large file is sent with a bar that says how far it is, and that is broken off by Cancel, Esc or another choice."""

import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browsing import Visit, choose, on_both, result_of
from tests.support.media import write_jpeg
from tests.support.running_service import RunningService
from tests.support.video import Clip, noise_track, write_video

SLOW = 150_000  # bytes a second


def slow_down(page: Page, bytes_per_second: int = SLOW) -> None:
    """From now on the page sends no faster; 0: as fast as it can."""
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    conditions = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": bytes_per_second or -1}
    session.send("Network.emulateNetworkConditions", conditions)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A photograph of about a megabyte: noise."""
    return write_jpeg(tmp_path / "large.jpg", np.random.default_rng(0).integers(0, 256, (800, 1000, 3), np.uint8))


def sent(visit: Visit) -> list[bool]:
    """Of each file that was posted to /uploads whether it came through; False where it was broken off."""
    posts = [one for one in visit.requests if one.method == "POST" and one.url.endswith("/uploads")]
    return [not one.failure and (answer := one.response()) is not None and answer.ok for one in posts]


@on_both
def test_a_large_photo_is_sent_with_a_bar_and_escape_breaks_it_off(visit: Visit, large: Path, sound: Path) -> None:
    page = visit.page
    page.set_input_files("#sound-input", sound)
    expect(page.locator(".lane .file-name")).to_have_text("shower.wav")
    page.wait_for_load_state("networkidle")
    slow_down(page)
    page.set_input_files("#picture-input", large)
    expect(page.locator("#status")).to_have_text(
        re.compile(r"^Sending large\.jpg: \d+ % of [\d.]+ (KB|MB), about \d+ s left$")
    )
    expect(page.locator("#progress")).to_have_attribute("aria-valuenow", re.compile(r"^[1-9]\d?$"))

    page.keyboard.press("Escape")

    expect(page.locator("#status")).to_have_text("Cancelled")
    expect(page.locator("#progress")).to_be_hidden()
    expect(page.locator("#problem")).to_be_hidden()
    expect(page.locator("#picture-name")).to_have_text("large.jpg")
    assert sent(visit) == [True, False]
    slow_down(page, 0)
    page.locator("#go").click()
    result_of(page)
    assert sent(visit) == [True, False, True]


def test_what_is_sent_before_there_is_a_sound_is_shown_and_ends_with_another_choice(
    visit: Visit, large: Path, photo: Path, sound: Path
) -> None:
    page = visit.page
    slow_down(page)
    page.set_input_files("#picture-input", large)
    expect(page.locator("#status")).to_contain_text("Sending large.jpg")
    expect(page.locator("#cancel")).to_be_visible()
    slow_down(page, 0)
    page.set_input_files("#picture-input", photo)
    expect(page.locator("#status")).to_have_text("320 × 200")
    expect(page.locator("#progress")).to_be_hidden()
    expect(page.locator("#cancel")).to_be_hidden()
    page.set_input_files("#sound-input", sound)
    result_of(page)
    assert sent(visit)[0] is False


def test_a_dial_that_moves_while_the_photo_is_sent_does_not_send_it_again(
    visit: Visit, large: Path, sound: Path
) -> None:
    page = visit.page
    slow_down(page)
    choose(page, large, sound)
    expect(page.locator("#status")).to_contain_text("Sending")
    page.locator("#gain").fill("-20")
    page.locator("#gain").dispatch_event("change")
    page.wait_for_timeout(500)  # the dial has come to rest
    expect(page.locator("#status")).to_contain_text("Sending")
    slow_down(page, 0)
    result_of(page)
    assert sent(visit) == [True, True]


def test_a_video_is_sent_when_it_is_chosen_with_a_bar(
    service: RunningService, browser: Browser, tmp_path: Path
) -> None:
    visit = Visit(browser, f"{service.address}/video")
    page = visit.page
    clip = write_video(tmp_path / "walk.mp4", Clip(width=320, height=180, fps=20, frames=80), noise_track(4.0))
    slow_down(page, max(20_000, clip.stat().st_size // 6))
    page.set_input_files("#video-input", clip)
    expect(page.locator("#status")).to_contain_text("Sending walk.mp4")
    page.locator("#cancel").click()
    expect(page.locator("#progress")).to_be_hidden()
    expect(page.locator("#status")).to_have_text(re.compile("320 × 180|Cancelled"))
    slow_down(page, 0)
    page.locator("#go").click()
    expect(page.locator("#download")).to_be_visible()
    assert sent(visit) == [False, True]
    visit.close()
    assert visit.complaints == []
