"""Nothing is lost: bad files, results of before, undo, a reload, a link, a job that is broken off."""

import re
from pathlib import Path

from playwright.sync_api import Browser, expect

from service.client import Client
from service.client.requests import image_form
from tests.support.browsing import Visit, choose, drop_files, next_result, on_both, pixels_of, result_of, set_dial
from tests.support.media import make_photo, tiled_photo, write_jpeg
from tests.support.running_service import RunningService


def forget_refusals(visit: Visit) -> None:
    """The browser itself reports every answer of 400 and above."""
    assert [said for said in visit.complaints if "415" not in said] == []
    visit.complaints.clear()


def test_an_unreadable_file_leaves_everything_as_it_was(visit: Visit, photo: Path, sound: Path, tmp_path: Path) -> None:
    page = visit.page
    choose(page, photo, sound)
    address = result_of(page)
    shown = pixels_of(page)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"this is no picture")

    page.set_input_files("#picture-input", broken)

    expect(page.locator("#problem")).to_contain_text("broken.jpg")
    expect(page.locator("#picture-name")).to_have_text("valley.jpg")
    expect(page.locator("#compare .divider")).to_be_visible()
    assert result_of(page) == address
    assert pixels_of(page) == shown
    assert page.locator("#compare .before").evaluate("image => image.naturalWidth") == 320
    drop_files(page, [("notes.txt", "text/plain", b"words")])
    expect(page.locator("#problem")).to_contain_text("notes.txt is neither a photo, a sound nor a video")
    assert result_of(page) == address
    forget_refusals(visit)


def test_an_unreadable_file_does_not_end_a_job_that_runs(
    visit: Visit, photo: Path, sound: Path, tmp_path: Path
) -> None:
    page = visit.page
    visit.hold("**/events")
    choose(page, photo, sound)
    expect(page.locator("#cancel")).to_be_visible()
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"this is no picture")
    page.set_input_files("#picture-input", broken)
    expect(page.locator("#problem")).to_contain_text("broken.jpg")
    expect(page.locator("#cancel")).to_be_visible()
    visit.let_go()
    result_of(page)
    assert not [request for request in visit.requests if request.method == "DELETE"]
    forget_refusals(visit)


@on_both
def test_results_are_kept_as_a_strip_that_brings_back_all_they_were_made_of(
    visit: Visit, photo: Path, sound: Path, tmp_path: Path
) -> None:
    page = visit.page
    choose(page, photo, sound)
    first = result_of(page)
    shown = pixels_of(page)
    set_dial(page, "#gain", -20)
    second = next_result(page, first)
    page.set_input_files("#picture-input", write_jpeg(tmp_path / "other.jpg", make_photo(100, 140, seed=5)))
    next_result(page, second)
    strip = page.locator("#results li button")
    expect(strip).to_have_count(3)
    before = visit.handed_in().count(1)

    strip.last.click()

    expect(strip.last).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#picture-name")).to_have_text("valley.jpg")
    expect(page.locator("#gain-value")).to_have_text("0 dB")
    result_of(page)
    assert pixels_of(page) == shown
    assert visit.handed_in().count(1) == before  # it was there


def test_settings_are_undone_and_redone(visit: Visit, photo: Path, sound: Path) -> None:
    page = visit.page
    choose(page, photo, sound)
    first = result_of(page)
    expect(page.locator("#undo")).to_be_disabled()
    set_dial(page, "#gain", -20)
    second = next_result(page, first)
    set_dial(page, "#strength", 0.5)
    third = next_result(page, second)
    before = visit.handed_in().count(1)
    page.keyboard.press("Control+z")
    expect(page.locator("#strength-value")).to_have_text("100 %")
    page.locator("#undo").click()
    expect(page.locator("#gain-value")).to_have_text("0 dB")
    expect(page.locator("#undo")).to_be_disabled()
    last = next_result(page, third)
    page.keyboard.press("Control+Shift+z")
    expect(page.locator("#gain-value")).to_have_text("−20 dB")
    next_result(page, last)
    assert visit.handed_in().count(1) == before  # all of it was there


def test_a_reload_keeps_the_results_and_a_button_forgets_them(visit: Visit, photo: Path, sound: Path) -> None:
    page = visit.page
    choose(page, photo, sound)
    first = result_of(page)
    set_dial(page, "#gain", -20)
    next_result(page, first)
    shown = pixels_of(page)

    page.reload()

    result_of(page)
    assert pixels_of(page) == shown
    expect(page.locator("#picture-name")).to_have_text("valley.jpg")
    expect(page.locator(".lane .file-name")).to_have_text("shower.wav")
    expect(page.locator("#gain-value")).to_have_text("−20 dB")
    expect(page.locator("#results li")).to_have_count(2)

    page.locator("#clear").click()
    expect(page.locator("#results")).to_be_hidden()
    page.goto(page.url.split("#")[0])
    page.reload()
    expect(page.locator("#results")).to_be_hidden()


def test_a_link_shows_the_result_to_somebody_else(
    visit: Visit, service: RunningService, browser: Browser, photo: Path, sound: Path
) -> None:
    page = visit.page
    choose(page, photo, sound)
    first = result_of(page)
    set_dial(page, "#gain", -12)
    next_result(page, first)
    shown = pixels_of(page)
    assert re.search(r"#result=[0-9a-f]{32}-0$", page.url)

    other = Visit(browser, page.url)

    expect(other.page.locator("#compare .after")).to_be_visible()
    assert pixels_of(other.page) == shown
    expect(other.page.locator("#picture-name")).to_have_text("valley.jpg")
    expect(other.page.locator("#gain-value")).to_have_text("−12 dB")
    expect(other.page.locator("#heard")).to_be_visible()
    other.page.goto(f"{service.address}/#result={'0' * 32}-0")
    other.page.reload()
    expect(other.page.locator("#problem strong")).to_have_text("This result is no longer kept")
    other.close()


def test_a_job_that_waits_says_how_many_are_before_it(
    visit: Visit, service: RunningService, photo: Path, sound: Path, tmp_path: Path
) -> None:
    page = visit.page
    large = write_jpeg(tmp_path / "large.jpg", tiled_photo(4000, 3000))
    with Client(service.address) as others:
        form = image_form(others.upload(large), [others.upload(sound)], {"gains_db": [-3, -2, -1, 0]})
        waiting = [others.submit(form) for _ in range(3)]
        choose(page, photo, sound)
        expect(page.locator("#status")).to_have_text(re.compile(r"^Waiting, [123] before this one(, about \d+ s)? …$"))
        for job in waiting:
            others.delete(job)
    result_of(page)


def test_a_connection_that_breaks_is_told_and_the_result_comes_when_it_is_back(
    visit: Visit, photo: Path, sound: Path
) -> None:
    page = visit.page
    page.route(re.compile(r"/jobs/[0-9a-f]{32}(/events)?$"), lambda route: route.abort())
    choose(page, photo, sound)
    expect(page.locator("#status")).to_have_text("The connection broke; trying again …")
    expect(page.locator("#cancel")).to_be_visible()
    page.unroute_all()
    result_of(page)
    expect(page.locator("#problem")).to_be_hidden()
    assert [said for said in visit.complaints if "ERR_FAILED" not in said] == []
    visit.complaints.clear()


@on_both
def test_escape_cancels_and_leaves_the_result_of_before(visit: Visit, photo: Path, sound: Path) -> None:
    page = visit.page
    choose(page, photo, sound)
    address = result_of(page)
    visit.hold("**/events")  # the end of a job is never told
    visit.hold(re.compile(r"/jobs/[0-9a-f]{32}$"))
    set_dial(page, "#gain", -33)
    expect(page.locator("#cancel")).to_be_visible()
    expect(page.locator("#status")).to_contain_text(re.compile("Waiting|Stylizing"))
    with page.expect_request(lambda request: request.method == "DELETE"):
        page.keyboard.press("Escape")
    expect(page.locator("#status")).to_have_text("Cancelled")
    expect(page.locator("#progress")).to_be_hidden()
    assert page.locator("#download").get_attribute("href") == address
