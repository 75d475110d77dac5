"""The page of a service that wants a key: it asks, keeps the key for its tab, and works as without."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from tests.end_to_end.test_command import run
from tests.support.browsing import PATIENCE_MS, Visit, choose, result_of
from tests.support.running_service import RunningService
from tests.support.tiny_service import tiny_service
from tests.support.video import Clip, noise_track, write_video

REFUSED = re.compile(r"the server responded with a status of 401")  # what the browser itself notes of a missing key


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningService, str]]:
    """A service, and its key."""
    folder = tmp_path_factory.mktemp("guarded")
    with tiny_service(folder) as running:
        yield running, run("keys", "create", "Ada", data_dir=str(folder / "data")).stdout.strip()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    made = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    made.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    yield made
    made.close()


def give(page: Page, key: str) -> None:
    """Answer the page's question."""
    page.get_by_label("Key", exact=True).fill(key)
    page.get_by_role("button", name="Use this key").click()


def test_the_page_asks_for_the_key_once_and_works_with_it(
    guarded: tuple[RunningService, str],
    browser: Browser,
    photo: Path,
    sound: Path,
    tmp_path: Path,
) -> None:
    service, key = guarded
    visit = Visit(browser, f"{service.address}/")
    page = visit.page
    give(page, "adis_mistyped")
    expect(page.get_by_role("dialog")).to_contain_text("not valid")
    give(page, f" {key} ")
    expect(page.locator("#model-line")).to_contain_text("tiny")
    expect(page.get_by_role("dialog")).to_have_count(0)

    choose(page, photo, sound)
    result_of(page)
    assert page.locator("#compare .after").evaluate("image => [image.naturalWidth, image.naturalHeight]") == [320, 200]
    expect(page.locator("#command code")).to_contain_text('-H "Authorization: Bearer $ADIS_API_KEY"')
    assert key not in page.content()
    with page.expect_download() as download:
        page.locator("#download").click()
    assert re.fullmatch(r"valley-\w+\+0dB\.jpg", download.value.suggested_filename)
    assert download.value.path().read_bytes().startswith(b"\xff\xd8")  # a JPEG, as what came in
    page.locator("#go-sweep").click()
    thumbs = page.locator("#results img")
    expect(thumbs).to_have_count(6)
    expect(page.locator("#progress")).to_be_hidden()
    assert thumbs.last.evaluate("image => image.decode().then(() => image.naturalWidth)") == 320

    page.get_by_role("link", name="Video").click()  # the same tab: the key is still there
    clip = write_video(tmp_path / "walk.mp4", Clip(width=320, height=180, fps=20, frames=40), noise_track(2.0))
    page.set_input_files("#video-input", clip)
    page.locator("#go-preview").click()
    expect(page.locator("#sweep img")).to_have_count(5)
    picture = page.locator("#sweep img").first
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == 320
    page.locator("#go").click()
    expect(page.locator("#after-figure")).to_be_visible()
    assert page.locator("#after").evaluate("video => [video.videoWidth, Math.round(video.duration)]") == [320, 2]
    expect(page.locator("#status")).to_contain_text("Made in")
    assert page.get_by_role("dialog").count() == 0
    assert [said for said in visit.complaints if not REFUSED.search(said)] == []

    other = visit.open(f"{service.address}/")  # another tab knows nothing of it
    expect(other.get_by_role("dialog")).to_be_visible()
    other.get_by_role("button", name="Cancel").click()
    expect(other.locator("#problem")).to_contain_text("An API key is needed")
    visit.close()


def test_progress_is_followed_with_the_key_though_the_connection_broke(
    guarded: tuple[RunningService, str], context: BrowserContext, tmp_path: Path
) -> None:
    service, key = guarded
    page = context.new_page()
    page.goto(f"{service.address}/video")
    give(page, key)
    clip = write_video(tmp_path / "long.mp4", Clip(width=640, height=360, fps=25, frames=250), noise_track(10.0))
    page.set_input_files("#video-input", clip)
    broken: list[str] = []

    def break_first(route: Route) -> None:
        if broken:
            route.continue_()
        else:
            broken.append(route.request.headers["last-event-id"])
            route.abort("connectionreset")

    page.route("**/events", break_first)
    page.locator("#go").click()
    expect(page.locator("#status")).to_contain_text(re.compile(r"[1-9]\d* of \d+ frames"))
    assert broken == ["0"]
    page.locator("#cancel").click()
    expect(page.locator("#status")).to_contain_text("Cancelled")
