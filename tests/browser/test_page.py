"""The page in a real browser against the real service: choose, stylize, adjust, sweep, mix, and see errors."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Request, expect, sync_playwright

from tests.support.media import make_noise, make_photo, make_tone, write_jpeg, write_ogg, write_wav
from tests.support.running_service import RunningService, running_service
from tests.support.tiny_bundle import write_tiny_bundle

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # a microphone that hums, and nobody to ask for it
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]
PATIENCE_MS = 60_000


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    folder = tmp_path_factory.mktemp("browser")
    bundle = write_tiny_bundle(folder / "models" / "tiny")
    with running_service(folder / "data", bundle.parent, default_model="tiny") as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = next((path for name in CHROMIUM_NAMES if (path := shutil.which(name))), None)
    assert executable, "install Chromium: tests/install_packages.sh"
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_FLAGS)
        yield launched
        launched.close()


class _Visit:
    """A page, and everything that a quiet page must not have: console errors, exceptions, outside requests."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.own = urlsplit(address).netloc
        page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", self._check)
        page.goto(address)

    def _check(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("blob", "data") and parts.netloc != self.own:
            self.complaints.append(f"outside request: {request.url}")


@pytest.fixture
def visit(service: RunningService, browser: Browser) -> Iterator[_Visit]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    visit = _Visit(context.new_page(), f"{service.address}/")
    yield visit
    context.close()
    assert visit.complaints == []


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return write_jpeg(tmp_path / "valley.jpg", make_photo(320, 200))


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    """Ten seconds, quiet but for seconds 6 to 9."""
    waveform = make_noise(10.0, rms=0.005)
    waveform[6 * 16_000 : 9 * 16_000] += make_noise(3.0, rms=0.2, seed=1)
    return write_wav(tmp_path / "shower.wav", waveform)


def choose(page: Page, photo: Path, *sounds: Path) -> None:
    page.set_input_files("#picture-input", photo)
    page.set_input_files("#sound-input", list(sounds))


def result_address(page: Page) -> str:
    address = page.locator("#download").get_attribute("href")
    assert address
    return address


def stylize(page: Page) -> str:
    """Press the button and wait for the picture."""
    page.locator("#go").click()
    expect(page.locator("#compare .after")).to_be_visible()
    expect(page.locator("#progress")).to_be_hidden()
    return result_address(page)


def next_address(page: Page, before: str) -> str:
    """Wait until another result has taken the place of the one `before`."""
    expect(page.locator("#download")).not_to_have_attribute("href", before)
    expect(page.locator("#progress")).to_be_hidden()
    return result_address(page)


def picture_width(page: Page) -> int:
    width: int = page.locator("#compare .after").evaluate("image => image.naturalWidth")
    return width


def test_a_picture_and_a_sound_become_a_stylization(visit: _Visit, photo: Path, sound: Path) -> None:
    page = visit.page
    expect(page.locator("#go")).to_be_disabled()
    choose(page, photo, sound)
    expect(page.locator(".lane .file-name")).to_have_text("shower.wav")

    stylize(page)

    assert picture_width(page) == 320
    expect(page.locator("#heard")).to_contain_text("noise")
    expect(page.locator("#heard")).to_contain_text("dBFS")
    expect(page.locator("#command code")).to_contain_text("-F image=@valley.jpg")
    expect(page.locator("#problem")).to_be_hidden()


def test_the_window_that_is_used_is_marked_and_can_be_chosen(visit: _Visit, photo: Path, sound: Path) -> None:
    page = visit.page
    choose(page, photo, sound)
    wave = page.locator(".lane .wave")
    expect(wave).to_have_attribute("aria-valuenow", "6.0")

    first = stylize(page)
    expect(wave).to_have_attribute("aria-valuenow", "6.0")
    wave.focus()
    wave.press("Home")
    next_address(page, first)

    expect(wave).to_have_attribute("aria-valuenow", "0.0")
    expect(page.locator("#command code")).to_contain_text("start_seconds=0")
    expect(page.locator("#problem")).to_be_hidden()


def test_moving_the_volume_makes_another_result(visit: _Visit, photo: Path, sound: Path) -> None:
    page = visit.page
    choose(page, photo, sound)
    loud = stylize(page)
    loudness = page.locator("#heard .facts dd").first.inner_text()

    page.locator("#gain").fill("-30")
    page.locator("#gain").dispatch_event("change")
    quiet = next_address(page, loud)

    assert page.request.get(absolute(page, quiet)).body() != page.request.get(absolute(page, loud)).body()
    expect(page.locator("#heard .facts dd").first).not_to_have_text(loudness)
    expect(page.locator("#gain-value")).to_have_text("−30 dB")


def absolute(page: Page, address: str) -> str:
    return page.evaluate("address => new URL(address, location.href).href", address)


def test_the_divider_moves_by_pointer_and_by_key(visit: _Visit, photo: Path, sound: Path) -> None:
    page = visit.page
    choose(page, photo, sound)
    stylize(page)
    divider = page.locator("#compare .divider")
    expect(divider).to_have_attribute("aria-valuenow", "50")

    divider.press("ArrowRight")
    expect(divider).to_have_attribute("aria-valuenow", "52")

    box = page.locator("#compare").bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + 20)
    page.mouse.up()
    expect(divider).to_have_attribute("aria-valuenow", "25")


def test_a_volume_sweep_is_a_strip_of_results(visit: _Visit, photo: Path, sound: Path) -> None:
    page = visit.page
    choose(page, photo, sound)
    page.locator("#go-sweep").click()
    strip = page.locator("#sweep button")
    expect(strip).to_have_count(6)
    expect(page.locator("#sweep [aria-pressed=true]")).to_have_text("0 dB")

    strip.first.click()

    expect(page.locator("#gain-value")).to_have_text("−40 dB")
    expect(strip.first).to_have_attribute("aria-pressed", "true")


def test_two_sounds_are_mixed_by_weight(visit: _Visit, photo: Path, sound: Path, tmp_path: Path) -> None:
    page = visit.page
    choose(page, photo, sound, write_ogg(tmp_path / "hum.ogg", make_tone(4.0)))
    weights = page.locator(".lane .weight input")
    expect(weights).to_have_count(2)

    weights.first.fill("25")
    stylize(page)

    expect(page.locator(".lane .weight output").first).to_have_text("20 %")
    expect(page.locator("#command code")).to_contain_text("weights")
    page.locator(".lane .remove").last.click()
    expect(page.locator(".lane .weight").first).to_be_hidden()


def test_a_recording_from_the_microphone_drives_it_too(visit: _Visit, photo: Path) -> None:
    page = visit.page
    page.set_input_files("#picture-input", photo)
    page.locator("#record").click()
    expect(page.locator("#record-text")).to_have_text("Stop (1 s)")
    page.locator("#record").click()
    expect(page.locator(".lane .file-name")).to_have_text(re.compile(r"recording-\d+\.webm"))

    stylize(page)

    expect(page.locator("#problem")).to_be_hidden()


def test_what_the_service_refuses_is_said_in_its_words(visit: _Visit, photo: Path, tmp_path: Path) -> None:
    page = visit.page
    choose(page, photo, write_wav(tmp_path / "click.wav", make_noise(0.1)))
    page.locator("#go").click()

    expect(page.locator("#problem")).to_contain_text("0.5")
    expect(page.locator("#lanes")).to_have_class(re.compile("at-fault"))
    # the browser itself reports every answer of 400 and above
    assert [complaint for complaint in visit.complaints if "422" not in complaint] == []
    visit.complaints.clear()


def test_nothing_sticks_out_on_a_telephone(service: RunningService, browser: Browser, photo: Path, sound: Path) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 740}, has_touch=True)
    page = context.new_page()
    page.goto(f"{service.address}/")
    choose(page, photo, sound)
    page.locator("#go-sweep").click()
    expect(page.locator("#sweep button")).to_have_count(6, timeout=PATIENCE_MS)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    context.close()
