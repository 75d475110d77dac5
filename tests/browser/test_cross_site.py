"""In a real browser a page of another origin can neither hand in a job nor read one, nor can one by DNS rebinding."""

import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.support.media import make_noise, make_photo, png_bytes, write_wav
from tests.support.prometheus import samples
from tests.support.running_service import RunningService

# What a page can try: a form with both files, by fetch with and without CORS, and each way to read or delete a job.
_HAND_IN = """async ([address, photo, sound, mode]) => {
  const bytes = (text) => new Blob([Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))]);
  const body = new FormData();
  body.append("image", bytes(photo), "a.png");
  body.append("audio", bytes(sound), "a.wav");
  return fetch(`${address}/stylize`, { method: "POST", body, mode }).then((answer) => answer.status, () => "failed");
}"""
_READ = """([address, mode]) => fetch(address, { mode }).then((answer) => answer.status, () => "failed")"""
_DELETE = """(address) => fetch(address, { method: "DELETE" }).then((answer) => answer.status, () => "failed")"""
_SHOW = """(address) => new Promise((resolve) => {
  const image = new Image();
  image.onload = () => resolve("shown");
  image.onerror = () => resolve("failed");
  image.src = address;
})"""


class _EmptyPage(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>elsewhere</title>")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[int]:
    """The port of another program of this machine, which serves a page."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _EmptyPage)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    yield context.new_page()
    context.close()


@pytest.fixture(scope="module")
def form(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """An image and an audio clip in base64."""
    from base64 import b64encode

    sound = write_wav(tmp_path_factory.mktemp("form") / "a.wav", make_noise(1.0))
    return b64encode(png_bytes(make_photo(64, 48))).decode(), b64encode(Path(sound).read_bytes()).decode()


def accepted_jobs(service: RunningService) -> float:
    with urllib.request.urlopen(f"{service.address}/metrics") as answer:
        found = samples(answer.read().decode())
    return sum(value for name, value in found.items() if name.startswith("adis_jobs_accepted"))


def hand_in(page: Page, address: str, form: tuple[str, str], mode: str) -> object:
    return page.evaluate(_HAND_IN, [address, *form, mode])


def finished_job(page: Page, service: RunningService, form: tuple[str, str]) -> str:
    """The address of a job that the service's own page has handed in and seen to its end."""
    page.goto(f"{service.address}/")
    before = accepted_jobs(service)
    assert hand_in(page, service.address, form, "cors") == 202
    assert accepted_jobs(service) == before + 1
    made = page.evaluate(
        _HAND_IN.replace('method: "POST", body', 'method: "POST", body, headers: { Prefer: "wait=60" }').replace(
            "answer.status,", "answer.json(),"
        ),
        [service.address, *form, "cors"],
    )
    assert made["state"] == "succeeded"
    return f"{service.address}{made['url']}"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "evil.example"])
def test_a_page_of_another_origin_can_neither_hand_in_nor_read_a_job(
    page: Page,
    service: RunningService,
    elsewhere: int,
    form: tuple[str, str],
    host: str,
) -> None:
    job = finished_job(page, service, form)
    assert page.evaluate(_SHOW, f"{job}/results/0") == "shown"
    before = accepted_jobs(service)

    page.goto(f"http://{host}:{elsewhere}/")
    for mode in ("cors", "no-cors"):  # of the latter's answer a page sees the status 0
        assert hand_in(page, service.address, form, mode) in ("failed", 0)
        for path in ("", "/events", "/results/0"):
            assert page.evaluate(_READ, [f"{job}{path}", mode]) in ("failed", 0)
    assert page.evaluate(_DELETE, job) == "failed"
    assert page.evaluate(_SHOW, f"{job}/results/0") == "failed"

    assert accepted_jobs(service) == before
    page.goto(f"{service.address}/")
    assert page.evaluate(_READ, [f"{job}/results/0", "cors"]) == 200


def test_a_name_that_is_pointed_at_this_machine_opens_nothing(
    page: Page,
    service: RunningService,
    form: tuple[str, str],
) -> None:
    job = finished_job(page, service, form)
    rebound = service.address.replace("127.0.0.1", "evil.example")
    before = accepted_jobs(service)

    answer = page.goto(f"{rebound}/")
    assert answer is not None
    assert answer.status == 421
    assert hand_in(page, rebound, form, "cors") == 421
    for path in ("", "/events", "/results/0"):
        assert page.evaluate(_READ, [job.replace("127.0.0.1", "evil.example") + path, "cors"]) == 421
    assert page.evaluate(_DELETE, job.replace("127.0.0.1", "evil.example")) == 421
    assert accepted_jobs(service) == before
