"""The health check of a worker's container follows the worker's own beat."""

import socket

import pytest

from service.jobs.worker_registry import WorkerRegistration
from service.observe import worker_health
from service.redis.connection import Client
from service.settings import get_settings


@pytest.fixture(autouse=True)
def _settings_of_this_test(monkeypatch: pytest.MonkeyPatch, redis_url: str) -> None:
    monkeypatch.setenv("ADIS_REDIS_URL", redis_url)
    get_settings.cache_clear()


def test_a_worker_is_well_while_it_beats(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    assert worker_health.main() == 1
    registration = WorkerRegistration(client, "w")
    registration.register([], ["images"])
    assert worker_health.main() == 0
    client.delete("adis:heartbeat:w")
    assert worker_health.main() == 1
    assert "no worker of this host" in capsys.readouterr().err


def test_the_beat_of_another_host_does_not_count(client: Client) -> None:
    WorkerRegistration(client, "w").register([], ["images"])
    assert worker_health.beats(client, socket.gethostname())
    assert not worker_health.beats(client, "elsewhere")


def test_a_redis_that_is_away_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("ADIS_REDIS_URL", "redis://127.0.0.1:9/0")
    get_settings.cache_clear()
    assert worker_health.main() == 1
    assert "Redis does not answer" in capsys.readouterr().err
