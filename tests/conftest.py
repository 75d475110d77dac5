"""What several suites share: a real Valkey, started once for all of them, and real object stores."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.jobs.connection import Client, connect
from tests.support.object_store import ENVIRONMENT, ObjectStore, running_store
from tests.support.valkey import running_valkey


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_valkey(tmp_path_factory.mktemp("valkey")) as url:
        yield url


@pytest.fixture
def redis_url(valkey_url: str) -> str:
    """The address of an empty database."""
    with connect(valkey_url) as client:
        client.flushall()
    return valkey_url


@pytest.fixture
def client(redis_url: str) -> Iterator[Client]:
    with connect(redis_url) as connected:
        yield connected


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    """An S3 server with an empty bucket, and its keys in the environment."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with running_store(tmp_path / "store") as running:
        yield running
