"""What the browser tests do on a page, and what a quiet page must not have."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Request, Route, expect, sync_playwright

PATIENCE_MS = 60_000
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
    "--host-resolver-rules=MAP evil.example 127.0.0.1",  # a name that somebody has pointed at this machine
]
DESK, PHONE = (1440, 900), (390, 844)
MACHINES = {"desk": (DESK, "light"), "phone": (PHONE, "dark")}
USUAL_MACHINE = os.environ.get("BROWSER_MACHINE", "desk")  # where a test does not say which
USUAL_SIZE, USUAL_SCHEME = MACHINES[USUAL_MACHINE]

on_both = pytest.mark.parametrize("visit", MACHINES, indirect=True)


@contextmanager
def launched_browser() -> Iterator[Browser]:
    """The machine's Chromium, with a profile that knows nothing."""
    executable = next((path for name in CHROMIUM_NAMES if (path := shutil.which(name))), None)
    assert executable, "install Chromium: tests/install_packages.sh"
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_FLAGS)
        yield launched
        launched.close()


class Visit:
    """A page, and everything that a quiet one must not have: console errors, exceptions, outside requests."""

    def __init__(
        self, browser: Browser, address: str, size: tuple[int, int] = USUAL_SIZE, scheme: str = USUAL_SCHEME
    ) -> None:
        self.context = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if scheme == "dark" else "light",
            has_touch=size[0] < 500,
            accept_downloads=True,
        )
        self.context.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        self.complaints: list[str] = []
        self.requests: list[Request] = []
        self._held: list[Route] = []
        self._holding = False
        self.own = urlsplit(address).netloc
        self.page = self.open(address)

    def open(self, address: str) -> Page:
        """Another page of the same visitor."""
        page = self.context.new_page()
        page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", self._check)
        page.goto(address)
        return page

    def hold(self, pattern: str | re.Pattern[str], method: str = "GET") -> None:
        """From now on leave requests without an answer until `let_go`."""

        def handle(route: Route) -> None:
            if self._holding and route.request.method == method:
                self._held.append(route)
            else:
                route.continue_()

        self._holding = True
        self.page.route(pattern, handle)

    def let_go(self) -> None:
        """Answer what was held."""
        self._holding = False
        while self._held:
            self._held.pop().continue_()

    def close(self) -> None:
        """Close the page and all others of the visitor."""
        self._holding = False
        while self._held:
            self._held.pop().fulfill(status=204)
        self.context.close()

    def handed_in(self) -> list[int]:
        """How many results each job was to have: 1 for a whole picture, several for a sweep or the live dials."""
        posts = [request for request in self.requests if request.method == "POST" and "/stylize" in request.url]
        answers = [answer for post in posts if (answer := post.response())]
        return [answer.json()["progress"]["total"] for answer in answers if answer.status == 202]

    def _check(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in ("blob", "data"):
            return
        self.requests.append(request)
        if parts.netloc != self.own:
            self.complaints.append(f"outside request: {request.url}")


def choose(page: Page, photo: Path, *sounds: Path) -> None:
    """Choose a photo and sounds by their fields."""
    page.set_input_files("#picture-input", photo)
    page.set_input_files("#sound-input", list(sounds))


def result_of(page: Page) -> str:
    """Wait until a result is shown and nothing runs; the address of the result."""
    expect(page.locator("#compare")).to_have_attribute("data-shows", "result")
    expect(page.locator("#progress")).to_be_hidden()
    address = page.locator("#download").get_attribute("href")
    assert address
    return address


def stylize(page: Page) -> str:
    """Press the button and wait for the result."""
    page.locator("#go").click()
    return result_of(page)


def next_result(page: Page, before: str) -> str:
    """Wait until another result has taken the place of the one `before`."""
    expect(page.locator("#download")).not_to_have_attribute("href", before)
    return result_of(page)


def set_dial(page: Page, selector: str, value: float) -> None:
    """Move a dial to the value and let it go."""
    page.locator(selector).fill(str(value))
    page.locator(selector).dispatch_event("change")


def wait_until_live(page: Page, selector: str = "#gain") -> None:
    """Wait until the dials answer by themselves: nudge one, as a hand does, until it shows a preview."""
    for _ in range(600):
        page.locator(selector).dispatch_event("input")
        page.wait_for_timeout(100)
        if page.locator("#compare").get_attribute("data-shows") == "preview":
            return
    raise AssertionError("the dials never became live")


def wait_until_true(page: Page, condition: str) -> None:
    """As Playwright's `wait_for_function`, which evaluates in the page and is refused by its content policy."""
    for _ in range(PATIENCE_MS // 50):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never true: {condition}")


def pixels_of(page: Page, selector: str = "#compare .after") -> list[int]:
    """The mean colors of 8 x 8 parts of the picture that is shown."""
    values: list[int] = page.locator(selector).evaluate(
        """image => {
            const [width, height] = [image.naturalWidth ?? image.width, image.naturalHeight ?? image.height];
            const pen = new OffscreenCanvas(width, height).getContext("2d");
            pen.drawImage(image, 0, 0);
            const sums = new Float64Array(192);
            const counts = new Float64Array(192);
            pen.getImageData(0, 0, width, height).data.forEach((value, index) => {
                if (index % 4 === 3) return;
                const [x, y] = [(index >> 2) % width, Math.floor((index >> 2) / width)];
                const place = 3 * (8 * Math.floor((8 * y) / height) + Math.floor((8 * x) / width)) + (index % 4);
                sums[place] += value;
                counts[place] += 1;
            });
            return Array.from(sums, (sum, place) => Math.round(sum / counts[place]));
        }"""
    )
    return values


def drop_files(page: Page, files: list[tuple[str, str, bytes]], selector: str = "body") -> None:
    """Drop files, given as (name, media type, content), onto the element."""
    _transfer(page, files, selector, "drop")


def paste_files(page: Page, files: list[tuple[str, str, bytes]]) -> None:
    """Paste files into the page."""
    _transfer(page, files, "body", "paste")


def _transfer(page: Page, files: list[tuple[str, str, bytes]], selector: str, kind: str) -> None:
    page.evaluate(
        """([files, selector, kind]) => {
            const data = new DataTransfer();
            for (const [name, type, bytes] of files) data.items.add(new File([new Uint8Array(bytes)], name, { type }));
            const options = { bubbles: true, cancelable: true };
            const event = kind === "drop"
                ? new DragEvent("drop", { ...options, dataTransfer: data })
                : new ClipboardEvent("paste", { ...options, clipboardData: data });
            document.querySelector(selector).dispatchEvent(event);
        }""",
        [[[name, media_type, list(content)] for name, media_type, content in files], selector, kind],
    )
