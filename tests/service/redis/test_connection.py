"""One address serves redis-py and Celery, and no password is printed."""

import asyncio
import logging
import threading

import pytest
from redis.exceptions import OutOfMemoryError

from service.redis.connection import (
    Client,
    broker_url,
    connect,
    connect_async,
    connect_patiently,
    version_problem,
    without_password,
)
from tests.support.valkey import full


@pytest.mark.parametrize(
    ("url", "broker"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("unix:///run/valkey.sock?db=0", "redis+socket:///run/valkey.sock?virtual_host=0"),
        ("unix:///run/valkey.sock", "redis+socket:///run/valkey.sock?virtual_host=0"),
    ],
)
def test_celery_gets_its_own_form_of_the_address(url: str, broker: str) -> None:
    assert broker_url(url) == broker


@pytest.mark.parametrize("url", ["redis://:secret@host:6379/0", "redis://user:secret@host:6379/0"])
def test_a_password_is_not_shown(url: str) -> None:
    assert "secret" not in without_password(url)
    assert "host:6379/0" in without_password(url)


def test_an_address_without_a_password_is_shown_as_it_is() -> None:
    assert without_password("unix:///run/valkey.sock?db=0") == "unix:///run/valkey.sock?db=0"


@pytest.mark.parametrize(("version", "problem"), [("6.2.14", True), ("7.0.0", False), ("10.1", False)])
def test_a_redis_that_is_too_old_is_named(version: str, problem: bool) -> None:
    class Server:
        def info(self, section: str) -> dict[str, str]:
            return {"redis_version": version}

    assert (version_problem(Server()) is not None) is problem


def test_the_embedded_server_is_new_enough(client: Client) -> None:
    assert version_problem(client) is None


def test_who_works_on_a_job_waits_for_a_full_redis_and_says_so(
    redis_url: str, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    waiting = threading.Event()

    def make_room() -> None:
        waiting.wait(60)
        client.config_set("maxmemory", "0")

    class Telling(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            waiting.set()

    handler = Telling(logging.WARNING)
    logging.getLogger("service.redis.connection").addHandler(handler)
    with full(client), connect_patiently(redis_url) as patient, connect(redis_url) as other:
        with pytest.raises(OutOfMemoryError):
            other.set("key", "value")
        room = threading.Thread(target=make_room)
        room.start()
        with caplog.at_level(logging.INFO), patient.pipeline(transaction=True) as pipe:
            pipe.set("key", "value")
            pipe.get("key")
            assert pipe.execute() == [True, "value"]
        room.join()
    logging.getLogger("service.redis.connection").removeHandler(handler)
    assert "Redis is full" in caplog.text
    assert "the job goes on" in caplog.text


def test_hundreds_of_questions_at_a_time_are_answered(redis_url: str) -> None:
    async def run() -> None:
        client = connect_async(redis_url)
        try:
            assert len(await asyncio.gather(*(client.time() for _ in range(400)))) == 400
        finally:
            await client.aclose()

    asyncio.run(run())
