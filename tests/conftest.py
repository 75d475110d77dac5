"""What several suites share: a real Valkey, started once for all of them."""

from collections.abc import Iterator

import pytest

from service.jobs.connection import Client, connect
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
