"""What one API process holds is given back in order."""

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from service.api.context import open_context
from tests.service.api.harness import settings


def test_the_client_is_closed_when_all_that_uses_it_has_ended(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[bool] = []

    async def end_slowly(*_: object) -> None:
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(0.1)
            ended.append(True)

    async def open_and_close() -> None:
        async with open_context(settings(tmp_path), redis_url):
            await asyncio.sleep(0)
        assert ended == [True]

    monkeypatch.setattr("service.api.context.sweep_for_ever", end_slowly)
    asyncio.run(open_and_close())


def test_a_task_that_swallowed_its_cancellation_is_cancelled_again(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swallowed: list[bool] = []

    async def swallow_once(*_: object) -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(100)
        swallowed.append(True)
        await asyncio.sleep(100)

    async def open_and_close() -> None:
        async with asyncio.timeout(30), open_context(settings(tmp_path), redis_url):
            await asyncio.sleep(0)

    monkeypatch.setattr("service.api.context.sweep_for_ever", swallow_once)
    asyncio.run(open_and_close())
    assert swallowed == [True]
