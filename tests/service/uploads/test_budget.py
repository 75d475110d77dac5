"""Uploads count against the queue's bytes while they arrive, in whichever process, and no longer."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from service.errors import QueueFull
from service.redis.connection import AsyncClient, Client
from service.uploads import budget as upload_budget
from service.uploads.budget import UploadBudget
from tests.service.jobs.harness import new_job, submit, with_client

MEBIBYTE = 1024 * 1024


def run(url: str, work: Callable[[AsyncClient], Awaitable[Any]]) -> None:
    with_client(url, work)


def test_two_uploads_at_once_share_the_budget(redis_url: str, client: Client) -> None:
    async def work(own: AsyncClient) -> None:
        budget, other_process = UploadBudget(own, 100, 50), UploadBudget(own, 100, 50)
        async with budget.open("image", "a", 60):
            with pytest.raises(QueueFull, match="60 bytes"):
                async with other_process.open("image", "b", 41):
                    pytest.fail("it is too much")
            async with other_process.open("image", "b", 40), budget.open("video", "c", 100):
                pass
        async with budget.open("image", "d", 100):
            pass

    run(redis_url, work)
    assert client.keys("adis:arriving*") == []


def test_the_jobs_that_are_there_count_as_well(redis_url: str) -> None:
    submit(redis_url, new_job())  # of 10 bytes

    async def work(own: AsyncClient) -> None:
        async with UploadBudget(own, 100, 50).open("image", "a", 90) as reservation:
            with pytest.raises(QueueFull, match="10 bytes"):
                await reservation.cover(91)

    run(redis_url, work)


def test_files_that_are_kept_have_a_budget_of_their_own(redis_url: str, client: Client) -> None:
    client.hset("adis:upload-bytes", "all", 30)

    async def work(own: AsyncClient) -> None:
        budget = UploadBudget(own, 1000, 50)
        async with budget.open("upload", "a", 20):
            with pytest.raises(QueueFull, match="50 bytes") as refused:
                async with budget.open("upload", "b", 1):
                    pytest.fail("there is no room")
            assert refused.value.retry_after
            async with budget.open("image", "c", 1000):
                pass

    run(redis_url, work)


def test_one_of_unknown_length_is_counted_as_it_arrives(redis_url: str, client: Client) -> None:
    async def work(own: AsyncClient) -> None:
        async with UploadBudget(own, 100 * MEBIBYTE, 50).open("video", "a", 0) as reservation:
            counts = []
            for mebibytes in (1, 2, 17, 18, 19):
                await reservation.cover(mebibytes * MEBIBYTE)
                counts.append(int(client.hget("adis:arriving-bytes:video", "a")) // MEBIBYTE)
            assert counts == [1, 18, 18, 18, 35]
            async with UploadBudget(own, 100 * MEBIBYTE, 50).open("video", "b", 60 * MEBIBYTE):
                with pytest.raises(QueueFull):
                    await reservation.cover(36 * MEBIBYTE)

    run(redis_url, work)


def test_an_upload_larger_than_the_budget_comes_in_when_nothing_else_is_there(redis_url: str) -> None:
    async def work(own: AsyncClient) -> None:
        budget = UploadBudget(own, 100, 50)
        async with budget.open("image", "a", 1000):
            with pytest.raises(QueueFull):
                async with budget.open("image", "b", 1):
                    pytest.fail("there is no room")

    run(redis_url, work)


def test_a_repeated_request_is_let_through(redis_url: str) -> None:
    submit(redis_url, new_job(key="k"))

    async def work(own: AsyncClient) -> None:
        budget = UploadBudget(own, 10, 50)
        async with budget.open("image", "a", 100, key="k") as reservation:
            await reservation.cover(200)
        with pytest.raises(QueueFull):
            async with budget.open("image", "a", 100, key="another"):
                pytest.fail("there is no room")

    run(redis_url, work)


def test_the_uploads_of_a_process_that_died_count_no_longer(redis_url: str, client: Client) -> None:
    client.zadd("adis:arriving:image", {"dead": 1.0, "alive": 9e12})
    client.hset("adis:arriving-bytes:image", mapping={"dead": 90, "alive": 5})

    async def work(own: AsyncClient) -> None:
        async with UploadBudget(own, 100, 50).open("image", "a", 95):
            pass

    run(redis_url, work)
    assert client.hgetall("adis:arriving-bytes:image") == {"alive": "5"}


def test_a_long_upload_stays_counted(redis_url: str, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_budget, "_LEASE_SECONDS", 0.3)

    async def work(own: AsyncClient) -> None:
        async with UploadBudget(own, 100, 50).open("image", "a", 60):
            first = client.zscore("adis:arriving:image", "a")
            async with asyncio.timeout(60):
                while client.zscore("adis:arriving:image", "a") < first + 0.3:
                    await asyncio.sleep(0.02)

    run(redis_url, work)
