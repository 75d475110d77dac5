"""The photo page in a real browser against the real service: choose, stylize, adjust, sweep, mix, and see errors."""

import re
from pathlib import Path

import pillow_heif
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.support.browsing import Visit, choose, next_result, on_both, pixels_of, result_of, set_dial, stylize
from tests.support.media import make_noise, make_photo, make_tone, write_ogg, write_wav
from tests.support.running_service import RunningService


def picture_width(page: Page) -> int:
    width: int = page.locator("#compare .after").evaluate("image => image.naturalWidth")
    return width


@on_both
def test_a_photo_and_a_sound_become_a_result_by_themselves(visit: Visit, photo: Path, sound: Path) -> None:
    page = visit.page
    expect(page.locator("#go")).to_be_disabled()
    choose(page, photo, sound)
    expect(page.locator(".lane .file-name")).to_have_text("shower.wav")

    result_of(page)

    assert picture_width(page) == 320
    expect(page.locator("#heard .likeness")).to_contain_text(re.compile("noise|no sound that it knows"))
    expect(page.locator("#heard")).to_contain_text("dBFS")
    assert not re.search(r"\b0\.\d\d\b", page.locator("#heard").inner_text())  # no cosine score
    expect(page.locator("#download-kind")).to_have_text(re.compile(r"^JPEG, \d+(\.\d)? KB$"))
    page.locator("#command summary").click()
    expect(page.locator("#command code")).to_contain_text("-F image=@valley.jpg")
    expect(page.locator("#problem")).to_be_hidden()


def test_the_button_makes_nothing_twice(visit: Visit, photo: Path, sound: Path) -> None:
    page = visit.page
    choose(page, photo, sound)
    stylize(page)
    stylize(page)
    expect(page.locator("#results li")).to_have_count(1)
    assert visit.handed_in().count(1) == 1


def test_the_window_that_is_used_is_marked_and_can_be_chosen(visit: Visit, photo: Path, sound: Path) -> None:
    page = visit.page
    choose(page, photo, sound)
    wave = page.locator(".lane .wave")
    expect(wave).to_have_attribute("aria-valuenow", "6.0")

    first = result_of(page)
    expect(wave).to_have_attribute("aria-valuenow", "6.0")
    wave.focus()
    wave.press("Home")
    next_result(page, first)

    expect(wave).to_have_attribute("aria-valuenow", "0.0")
    expect(page.locator("#command code")).to_contain_text("start_seconds=0")
    expect(page.locator("#problem")).to_be_hidden()


def test_moving_the_volume_makes_another_result(visit: Visit, photo: Path, sound: Path) -> None:
    page = visit.page
    choose(page, photo, sound)
    first = result_of(page)
    loudness = page.locator("#heard .facts dd").first.inner_text()
    loud = pixels_of(page)

    set_dial(page, "#gain", -30)
    next_result(page, first)

    assert pixels_of(page) != loud
    expect(page.locator("#heard .facts dd").first).not_to_have_text(loudness)
    expect(page.locator("#gain-value")).to_have_text("−30 dB")


@on_both
def test_a_volume_sweep_is_a_strip_of_results(visit: Visit, photo: Path, sound: Path) -> None:
    page = visit.page
    choose(page, photo, sound)
    result_of(page)
    page.locator("#go-sweep").click()
    strip = page.locator("#results li button")
    expect(strip).to_have_count(6)
    expect(page.locator("#results [aria-pressed=true] span")).to_have_text("0 dB")
    expect(strip.first.locator("span")).to_have_text("−40 dB")

    strip.first.click()

    expect(page.locator("#gain-value")).to_have_text("−40 dB")
    expect(strip.first).to_have_attribute("aria-pressed", "true")


@on_both
def test_two_sounds_are_mixed_by_share(visit: Visit, photo: Path, sound: Path, tmp_path: Path) -> None:
    page = visit.page
    choose(page, photo, sound, write_ogg(tmp_path / "hum.ogg", make_tone(4.0)))
    shares = page.locator(".lane .weight input")
    expect(shares).to_have_count(2)

    expect(shares.first).to_have_value("50")  # where the dial stands is the share

    shares.first.fill("25")
    stylize(page)

    expect(page.locator(".lane .weight output")).to_have_text(["25 %", "75 %"])
    expect(shares.last).to_have_value("75")
    expect(page.locator("#command code")).to_contain_text("weights")
    page.locator(".lane .remove").last.click()
    expect(page.locator(".lane .weight").first).to_be_hidden()


def test_a_recording_from_the_microphone_drives_it_too(visit: Visit, photo: Path) -> None:
    page = visit.page
    page.set_input_files("#picture-input", photo)
    page.locator("#record").click()
    expect(page.locator("#record-text")).to_have_text("Stop (1 s)")
    page.locator("#record").click()
    expect(page.locator(".lane .file-name")).to_have_text(re.compile(r"recording-\d+\.webm"))

    result_of(page)

    expect(page.locator("#problem")).to_be_hidden()


def test_without_a_secure_connection_the_page_says_what_is_missing(
    service: RunningService, browser: Browser, photo: Path, sound: Path
) -> None:
    visit = Visit(browser, "about:blank")
    page = visit.page
    page.add_init_script("""
        for (const [of, name] of [[Navigator, "mediaDevices"], [Navigator, "clipboard"], [Crypto, "subtle"]])
            Object.defineProperty(of.prototype, name, { value: undefined });
    """)
    page.goto(f"{service.address}/")
    expect(page.locator("#record")).to_be_hidden()
    expect(page.locator("#record-note")).to_contain_text("HTTPS")
    choose(page, photo, sound)
    result_of(page)  # all else works
    page.locator("#command summary").click()
    page.locator("#copy").click()
    expect(page.locator("#copy-note")).to_be_visible()
    assert page.evaluate("getSelection().toString()").startswith("curl")
    visit.close()


@on_both
def test_what_the_service_refuses_is_said_without_the_words_of_the_api(
    visit: Visit, photo: Path, tmp_path: Path
) -> None:
    page = visit.page
    page.set_input_files("#picture-input", photo)
    expect(page.locator("#compare")).to_be_visible()
    page.evaluate("scrollTo(0, 500)")
    page.set_input_files("#sound-input", write_wav(tmp_path / "click.wav", make_noise(0.1)))

    expect(page.locator("#problem strong")).to_have_text("This file cannot be used")
    in_sight = page.locator("#problem").evaluate(
        "({ firstElementChild: words }) => { const { x, y } = words.getBoundingClientRect(); "
        "return words.contains(document.elementFromPoint(x + 5, y + 5)); }"
    )
    assert in_sight, "something lies on the message"
    expect(page.locator("#problem")).to_contain_text("0.5")
    assert "`" not in page.locator("#problem").inner_text()
    expect(page.locator("#problem")).to_contain_text("click.wav")
    expect(page.locator(".lane")).to_have_count(0)
    expect(page.locator("#picture-name")).to_have_text("valley.jpg")
    page.locator("#dismiss").click()
    expect(page.locator("#problem")).to_be_hidden()
    # the browser itself reports every answer of 400 and above
    assert [complaint for complaint in visit.complaints if "422" not in complaint] == []
    visit.complaints.clear()


def test_nothing_sticks_out_on_a_telephone_and_the_button_is_at_hand(
    service: RunningService, browser: Browser, photo: Path, sound: Path
) -> None:
    visit = Visit(browser, f"{service.address}/", (360, 740))
    page = visit.page
    for _ in range(2):  # before a photo is chosen, and then with a result
        box = page.locator("#go").bounding_box()
        assert box
        assert box["y"] + box["height"] <= 740
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        choose(page, photo, sound)
        result_of(page)
    visit.close()


def test_one_click_on_what_a_sound_does_gives_a_result(visit: Visit) -> None:
    page = visit.page
    pictures = page.locator("#gallery img")
    expect(pictures).to_have_count(6)
    assert pictures.last.evaluate("image => image.decode().then(() => image.naturalWidth)") == 240
    page.locator("#gallery button").last.click()
    result_of(page)
    expect(page.locator("#gallery")).to_be_hidden()
    expect(page.locator(".lane .file-name")).to_have_text("crickets.m4a")


def test_the_next_example_takes_the_place_of_the_one_before_unless_they_are_mixed(visit: Visit) -> None:
    page = visit.page
    chips = page.locator("#sound-examples")
    names = page.locator(".lane .file-name")
    chips.get_by_role("button", name="Light rain").click()
    expect(names).to_have_text(["rain-light.m4a"])
    chips.get_by_role("button", name="Thunder").click()
    expect(names).to_have_text(["thunder.m4a"])
    chips.get_by_role("button", name="Mix").click()
    chips.get_by_role("button", name="Birdsong").click()
    expect(names).to_have_text(["thunder.m4a", "birdsong.m4a"])


@on_both
def test_a_first_visit_needs_two_clicks_to_a_result_and_sends_no_file(visit: Visit) -> None:
    page = visit.page
    page.locator("#picture-examples button").first.click()
    page.locator("#sound-examples button").first.click()
    result_of(page)
    expect(page.locator("#picture-examples")).to_be_hidden()
    expect(page.locator("#command code")).to_contain_text("image_id=example:")
    assert not [request for request in visit.requests if request.url.endswith("/uploads")]
    page.reload()
    result_of(page)
    expect(page.locator("#problem")).to_be_hidden()


def test_a_photo_that_the_browser_cannot_show_is_shown_as_the_service_reads_it(
    visit: Visit, sound: Path, tmp_path: Path
) -> None:
    page = visit.page
    photo = tmp_path / "IMG_0001.HEIC"
    pillow_heif.from_pillow(Image.fromarray(make_photo(320, 200))).save(photo)
    page.set_input_files("#picture-input", photo)
    expect(page.locator("#viewer-note")).to_contain_text("IMG_0001.HEIC")
    page.set_input_files("#sound-input", sound)
    result_of(page)
    assert picture_width(page) == 320
    expect(page.locator("#compare .divider")).to_be_visible()  # for the photo is there now
    assert page.locator("#compare .before").evaluate("image => image.naturalWidth") == 320
