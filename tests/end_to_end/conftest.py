"""The whole service, started once for all tests that do not harm it, and a client for it."""

from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.support.media import make_noise, make_photo, make_tone, write_jpeg, write_ogg
from tests.support.running_service import RunningService, running_service
from tests.support.tiny_bundle import write_tiny_bundle

CLIENT_SECONDS = 280
SIZE = (120, 80)


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("models") / "tiny").parent


@pytest.fixture(scope="session")
def photo(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_jpeg(tmp_path_factory.mktemp("photo") / "photo.jpg", make_photo(*SIZE)).read_bytes()


@pytest.fixture(scope="session")
def rain(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_ogg(tmp_path_factory.mktemp("rain") / "rain.ogg", make_noise(5.0)).read_bytes()


@pytest.fixture(scope="session")
def birds(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_ogg(tmp_path_factory.mktemp("birds") / "birds.ogg", make_tone(4.0, hertz=3000)).read_bytes()


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[RunningService]:
    folder = tmp_path_factory.mktemp("service")
    limits = {"max_image_bytes": "1000000", "max_gains": "4"}
    with running_service(folder / "data", models_dir, default_model="tiny", **limits) as running:
        yield running


@pytest.fixture(scope="session")
def http(service: RunningService) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.address, timeout=CLIENT_SECONDS) as client:
        yield client
