"""`rediss://` is believed only with a good certificate: by redis-py, and by Celery, which by itself takes any."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from kombu import pools
from kombu.exceptions import OperationalError
from pydantic import ValidationError
from redis.exceptions import ConnectionError as RedisConnectionError

from service.jobs.queue import make_queue, messages, send
from service.redis.connection import broker_url, connect
from service.settings import Settings
from tests.service.jobs.harness import with_client
from tests.support.tls_valkey import running_tls_valkey

JOB = "0" * 32


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address of a server, and the certificate of its authority."""
    with running_tls_valkey(tmp_path_factory.mktemp("tls")) as (port, authority):
        yield f"rediss://127.0.0.1:{port}/0", authority


def hand_in(url: str) -> None:
    """Send a message as the API does, without waiting for a server that is away."""
    app = make_queue(url, 60)
    app.conf.task_publish_retry = False
    try:
        send(app, JOB, "image")
    finally:
        app.close()
        pools.reset()  # else the next one is given this one's connection, whatever it trusts


def test_an_authority_that_is_named_is_trusted_by_all_of_it(server: tuple[str, Path]) -> None:
    url = f"{server[0]}?ssl_ca_certs={server[1]}"
    hand_in(url)
    with connect(url) as client:
        assert client.llen(messages("images")) == 1
    assert with_client(url, lambda client: client.ping())


def test_an_unknown_authority_is_refused_by_all_of_it(server: tuple[str, Path]) -> None:
    url = server[0]
    with connect(url) as client, pytest.raises(RedisConnectionError, match="certificate verify failed"):
        client.ping()
    with pytest.raises(RedisConnectionError, match="certificate verify failed"):
        with_client(url, lambda client: client.ping())
    with pytest.raises(OperationalError, match="certificate verify failed"):
        hand_in(url)


def test_a_certificate_of_another_host_is_refused_by_all_of_it(tmp_path: Path) -> None:
    with running_tls_valkey(tmp_path, "DNS:elsewhere.test") as (port, authority):
        url = f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={authority}"
        with connect(url) as client, pytest.raises(RedisConnectionError, match="certificate verify failed"):
            client.ping()
        with pytest.raises(OperationalError, match="certificate verify failed"):
            hand_in(url)


def test_the_brokers_address_asks_for_the_check_and_keeps_the_rest() -> None:
    url = broker_url("rediss://:secret@host:6380/2?ssl_ca_certs=/etc/ca.pem")
    assert url.startswith("rediss://:secret@host:6380/2?")
    assert set(url.partition("?")[2].split("&")) == {
        "ssl_ca_certs=%2Fetc%2Fca.pem",
        "ssl_cert_reqs=required",
        "ssl_check_hostname=true",
    }


@pytest.mark.parametrize("option", ["ssl_cert_reqs=none", "ssl_cert_reqs=optional", "ssl_check_hostname=false"])
def test_the_check_cannot_be_switched_off(option: str) -> None:
    with pytest.raises(ValidationError, match="redis_url"):
        Settings(redis_url=f"rediss://host:6380/0?ssl_ca_certs=/etc/ca.pem&{option}")
    assert Settings(redis_url="rediss://host:6380/0?ssl_cert_reqs=required").redis_url
