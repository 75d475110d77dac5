"""One real service for all browser tests, and a real Chromium for those of a file.

While Playwright is connected, its event loop runs in this thread: tests of other files that need one of their own
must not meet it.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.support.browsing import MACHINES, USUAL_MACHINE, Visit, launched_browser
from tests.support.media import make_noise, make_photo, write_jpeg, write_wav
from tests.support.running_service import RunningService
from tests.support.tiny_service import tiny_service


@pytest.fixture(scope="package")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with tiny_service(tmp_path_factory.mktemp("browser")) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched_browser() as launched:
        yield launched


@pytest.fixture
def visit(service: RunningService, browser: Browser, request: pytest.FixtureRequest) -> Iterator[Visit]:
    """The photo page on the usual machine; on both by `on_both`."""
    visit = Visit(browser, f"{service.address}/", *MACHINES[getattr(request, "param", USUAL_MACHINE)])
    yield visit
    visit.close()
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
