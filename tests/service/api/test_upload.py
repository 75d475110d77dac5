"""An upload that is too large, stops or breaks off is given up at once and leaves nothing."""

import asyncio
from pathlib import Path
from typing import Any

from service.api.app import create_app
from service.redis.connection import Client
from tests.service.api.harness import settings, somebody_at_work, stored_files


def raw_request(
    url: str,
    data_dir: Path,
    headers: dict[str, str],
    body: list[dict[str, Any]],
    pause_seconds: float = 0.0,
    **values: Any,
) -> tuple[int, int]:
    """Call the application with messages of our own; (status, messages that it took). After them nothing comes.

    pause_seconds: before each message.
    """
    app = create_app(settings(data_dir, **values), url)
    sent: list[dict[str, Any]] = []
    taken = 0

    async def receive() -> dict[str, Any]:
        nonlocal taken
        taken += 1
        await asyncio.sleep(pause_seconds)
        if taken <= len(body):
            return body[taken - 1]
        await asyncio.sleep(3600)
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(message)

    async def run() -> None:
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "POST",
            "path": "/stylize",
            "raw_path": b"/stylize",
            "query_string": b"",
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
            "state": {},
        }
        async with app.router.lifespan_context(app):
            await asyncio.wait_for(app(scope, receive, send), 60)

    with somebody_at_work(url):
        asyncio.run(run())
    return sent[0]["status"], taken


FORM = {"Content-Type": "multipart/form-data; boundary=b"}
PART = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'


def chunk(content: bytes) -> dict[str, Any]:
    return {"type": "http.request", "body": content, "more_body": True}


def test_an_announced_size_is_refused_before_anything_is_read(redis_url: str, data_dir: Path) -> None:
    for announced in (str(10**12), "9" * 5000):
        headers = FORM | {"Content-Length": announced}
        assert raw_request(redis_url, data_dir, headers, []) == (413, 0)


def test_a_parts_header_of_any_length_is_refused_as_soon_as_it_is_too_much(redis_url: str, data_dir: Path) -> None:
    body = [chunk(PART.rstrip()), *[chunk(b"; a=b" * 1000)] * 100]
    assert raw_request(redis_url, data_dir, FORM, body) == (422, 2)
    assert stored_files(data_dir) == set()


def test_an_unannounced_size_is_refused_as_soon_as_it_is_too_much(redis_url: str, data_dir: Path) -> None:
    body = [chunk(PART), *[chunk(bytes(60_000))] * 10]
    assert raw_request(redis_url, data_dir, FORM, body, max_image_bytes=100_000) == (413, 3)
    assert stored_files(data_dir) == set()


def test_an_upload_that_stops_arriving_is_given_up(redis_url: str, data_dir: Path) -> None:
    status, _ = raw_request(redis_url, data_dir, FORM, [chunk(PART)], max_upload_pause_seconds=0.05)
    assert status == 408
    assert stored_files(data_dir) == set()


def test_an_upload_of_a_byte_now_and_then_is_given_up(redis_url: str, data_dir: Path) -> None:
    """Each byte comes well before a pause would be too long."""
    body = [chunk(PART), *[chunk(b"x")] * 1000]
    limits = {"max_upload_pause_seconds": 0.5, "min_upload_bytes_per_second": 1000.0}
    status, taken = raw_request(redis_url, data_dir, FORM, body, pause_seconds=0.05, **limits)
    assert status == 408
    assert taken < 50
    assert stored_files(data_dir) == set()


def test_a_slow_upload_that_is_fast_enough_is_waited_for(redis_url: str, data_dir: Path) -> None:
    body = [chunk(PART), *[chunk(bytes(200))] * 20, {"type": "http.request", "body": b"", "more_body": False}]
    limits = {"max_upload_pause_seconds": 0.5, "min_upload_bytes_per_second": 1000.0}
    assert raw_request(redis_url, data_dir, FORM, body, pause_seconds=0.05, **limits) == (422, 22)


def test_what_does_not_fit_is_refused_before_it_is_stored(redis_url: str, data_dir: Path, client: Client) -> None:
    """Another upload, which has only begun to arrive, has announced all that there is room for."""
    client.zadd("adis:arriving:image", {"another": 9e12})
    client.hset("adis:arriving-bytes:image", "another", 900_000)
    announced = FORM | {"Content-Length": "200000"}
    assert raw_request(redis_url, data_dir, announced, [], max_queue_bytes=1_000_000) == (503, 0)
    body = [chunk(PART), *[chunk(bytes(60_000))] * 10]
    assert raw_request(redis_url, data_dir, FORM, body, max_queue_bytes=900_050) == (503, 1)
    assert stored_files(data_dir) == set()
    assert client.hgetall("adis:arriving-bytes:image") == {"another": "900000"}


def test_a_client_that_goes_away_leaves_nothing(redis_url: str, data_dir: Path, client: Client) -> None:
    raw_request(redis_url, data_dir, FORM, [chunk(PART), {"type": "http.disconnect"}])
    assert stored_files(data_dir) == set()
    assert client.keys("adis:job:*") == []
