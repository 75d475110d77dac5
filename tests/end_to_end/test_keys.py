"""`python -m service keys`, and a service that asks for them, run as people run them."""

from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.end_to_end import test_client
from tests.end_to_end.test_command import run
from tests.support.running_service import RunningService, running_service

pytestmark = pytest.mark.timeout(600)


def created(data_dir: str) -> tuple[str, str]:
    """Id and token of a new key."""
    done = run("keys", "create", "Ada", data_dir=data_dir)
    assert done.returncode == 0, done.stderr
    token = done.stdout.strip()
    return token.split("_")[1], token


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[tuple[RunningService, str, str]]:
    """A service with one key, made while it ran: service, folder, key."""
    data = tmp_path_factory.mktemp("guarded") / "data"
    with running_service(data, models_dir, default_model="tiny") as running:
        assert httpx.get(f"{running.address}/models").status_code == 200
        yield running, str(data), created(str(data))[1]


def test_a_key_that_is_made_while_the_service_runs_is_needed_at_once(guarded: tuple[RunningService, str, str]) -> None:
    service, data_dir, key = guarded
    with httpx.Client(base_url=service.address) as http:
        assert http.get("/models").status_code == 401
        assert http.get("/models", headers={"Authorization": f"Bearer {key}"}).status_code == 200
        other_id, other = created(data_dir)
        assert http.get("/models", headers={"X-API-Key": other}).status_code == 200
        assert run("keys", "revoke", other_id, data_dir=data_dir).returncode == 0
        assert http.get("/models", headers={"X-API-Key": other}).status_code == 401


def test_the_commands_send_the_key(
    guarded: tuple[RunningService, str, str], tmp_path: Path, photo: bytes, rain: bytes
) -> None:
    service, _, key = guarded
    (tmp_path / "photo.jpg").write_bytes(photo)
    (tmp_path / "rain.ogg").write_bytes(rain)
    command = ("stylize", "photo.jpg", "rain.ogg", "--server", service.address, "--force")
    refused = test_client.run(tmp_path, *command)
    assert (refused.returncode, "send an API key" in refused.stderr) == (1, True)
    assert test_client.run(tmp_path, *command, "--key", "é").returncode == 2
    assert not (tmp_path / "photo-stylized.jpg").exists()
    for options, settings in [(("--key", key), {}), ((), {"ADIS_API_KEY": key})]:
        ran = test_client.run(tmp_path, *command, *options, **settings)
        assert (ran.returncode, ran.stdout) == (0, "photo-stylized.jpg\n"), ran.stderr
