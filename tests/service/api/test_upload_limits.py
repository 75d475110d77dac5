"""A few hostile clients, by uploads that never end or files that take long to open, hold up nobody else."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.requests import Request

from service.api.auth import Caller, name_caller
from service.api.upload_limits import ProbeQueue, UploadGate
from service.auth.keys import Key
from service.errors import Unavailable
from service.media.decoder_pool import DecoderPool
from service.media.image import ImageInfo
from tests.service.api.harness import GOOD, SOUND, api, somebody_at_work
from tests.support.media import make_photo, png_bytes
from tests.support.misbehaviour import sleep

PATIENCE_SECONDS = 60.0


@pytest.fixture
def held() -> Iterator[threading.Event]:
    """Set at the end, so that no thread waits for ever."""
    event = threading.Event()
    yield event
    event.set()


def test_probes_that_take_long_make_room(held: threading.Event) -> None:
    async def run() -> None:
        probes = ProbeQueue(quick=2, slow=4, quick_seconds=0.05)
        slow = [asyncio.create_task(probes.run(f"caller {number % 2}", held.wait)) for number in range(4)]
        for _ in range(5):
            async with asyncio.timeout(PATIENCE_SECONDS):
                assert await probes.run("another", lambda: "probed") == "probed"
        assert not any(task.done() for task in slow)
        held.set()
        await asyncio.gather(*slow)
        assert await asyncio.gather(*[probes.run(str(number), lambda: 1) for number in range(20)]) == [1] * 20

    asyncio.run(run())


def test_no_caller_takes_all_places(held: threading.Event) -> None:
    """Twenty files of one client, each of which takes for ever, and as many of them opened as may be."""
    opened: list[int] = []

    def hang() -> None:
        opened.append(1)
        held.wait()

    async def run() -> None:
        probes = ProbeQueue(quick=2, slow=6, quick_seconds=0.05)
        slow = [asyncio.create_task(probes.run("hostile", hang)) for _ in range(20)]
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(opened) < 4:
                await asyncio.sleep(0.01)
            assert await probes.run("another", lambda: "probed") == "probed"
        held.set()
        await asyncio.gather(*slow)

    asyncio.run(run())


def test_a_probe_that_fails_gives_its_place_back() -> None:
    def fail() -> None:
        raise ValueError("no image")

    async def run() -> None:
        probes = ProbeQueue(quick=1, slow=1)
        for _ in range(5):
            with pytest.raises(ValueError, match="no image"):
                await probes.run("a", fail)

    asyncio.run(asyncio.wait_for(run(), PATIENCE_SECONDS))


@pytest.mark.usefixtures("redis_url")
def test_two_hostile_files_hold_up_nobody(redis_url: str, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What opens them hangs; the helpers and the rest are real."""
    probe_image = DecoderPool.probe_image
    opened = threading.Barrier(3)

    def probe(pool: DecoderPool, path: Path) -> ImageInfo:
        if path.stat().st_size != len(hostile):
            return probe_image(pool, path)
        opened.wait(PATIENCE_SECONDS)
        return pool._call("image", ImageInfo, sleep)

    hostile = png_bytes(make_photo(25, 16))
    monkeypatch.setattr(DecoderPool, "probe_image", probe)
    with (
        somebody_at_work(redis_url),
        api(redis_url, data_dir) as http,
        ThreadPoolExecutor(2) as others,
    ):
        http.app.state.context.decoder_pool._wall_seconds = 10.0  # type: ignore[attr-defined]
        form = [("image", ("a.png", hostile)), ("audio", ("a.wav", SOUND))]
        answers = [others.submit(http.post, "/stylize", files=form) for _ in range(2)]
        opened.wait(PATIENCE_SECONDS)
        assert http.post("/stylize", files=GOOD).status_code == 202
        assert not any(answer.done() for answer in answers)
        assert [answer.result().status_code for answer in answers] == [422, 422]


def test_uploads_at_a_time_are_bounded_and_no_caller_takes_all() -> None:
    async def run() -> None:
        gate = UploadGate(4, patience_seconds=0.05)
        async with gate.enter("a"), gate.enter("a"):
            with pytest.raises(Unavailable, match="too many uploads"):
                async with gate.enter("a"):
                    pytest.fail("a has its share")
            async with gate.enter("b"), gate.enter("b"):
                with pytest.raises(Unavailable) as refused:
                    async with gate.enter("c"):
                        pytest.fail("there is no place left")
                assert refused.value.retry_after
            async with gate.enter("c"):
                pass
        async with gate.enter("a"), gate.enter("a"):
            pass

    asyncio.run(run())


def test_an_upload_waits_for_its_place() -> None:
    async def run() -> None:
        gate = UploadGate(2, patience_seconds=PATIENCE_SECONDS)

        async def enter() -> str:
            async with gate.enter("a"):
                return "came in"

        async with gate.enter("a"):
            waiting = asyncio.create_task(enter())
            await asyncio.sleep(0)
            assert not waiting.done()
        assert await waiting == "came in"

    asyncio.run(run())


def test_every_route_that_takes_files_waits_for_a_place(http: TestClient) -> None:
    gate = UploadGate(2, patience_seconds=0.05)
    object.__setattr__(http.app.state.context, "upload_gate", gate)  # type: ignore[attr-defined]
    assert http.portal is not None
    for _ in range(2):
        http.portal.call(gate._all.acquire)  # somebody else's
    uploads = (("/stylize", GOOD), ("/stylize/video", GOOD), ("/uploads", [("file", ("rain.wav", SOUND))]))
    for address, files in uploads:
        refused = http.post(address, files=files)
        assert (refused.status_code, "too many uploads" in refused.text) == (503, True)
    gate._all.release()
    assert [http.post(address, files=files).status_code for address, files in uploads] == [202, 202, 201]


def named(host: str | None, key: Key | None = None) -> str:
    scope: dict[str, Any] = {"type": "http", "headers": [], "client": None if host is None else (host, 1)}
    return name_caller(Request(scope), Caller(key))


def test_callers_are_told_apart_by_key_then_by_address() -> None:
    key = Key(id="0123456789ab", name="Ada", sha256="", created=0.0)
    assert named("192.0.2.1", key) == named("192.0.2.2", key) != named("192.0.2.1")
    assert named("192.0.2.1") != named("192.0.2.2")
    assert named("2001:db8:1:2::1") == named("2001:db8:1:2:ffff::9") != named("2001:db8:1:3::1")
    assert named(None) == named("") != named("testclient")
