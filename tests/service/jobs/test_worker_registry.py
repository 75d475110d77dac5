"""A worker counts while its heart beats, and as ready once its model is loaded."""

import asyncio

from service.jobs.worker_registry import Runtime, WorkerRegistration, WorkerRegistry, WorkerReport, live_workers
from service.redis.connection import AsyncClient, Client
from tests.service.jobs.harness import MODEL, with_client

CPU = Runtime(provider="cpu", runtime="onnxruntime 1")


def workers(url: str) -> list[WorkerReport]:
    return with_client(url, live_workers)


def test_nobody_is_there_at_first(redis_url: str) -> None:
    assert workers(redis_url) == []


def test_a_worker_tells_its_models_and_later_what_runs_them(redis_url: str, client: Client) -> None:
    registration = WorkerRegistration(client, "w")
    registration.register([MODEL], ["images", "videos"])
    (loading,) = workers(redis_url)
    assert (loading.models, loading.runtime) == ((MODEL,), None)
    registration.announce_runtime(CPU)
    (ready,) = workers(redis_url)
    assert ready.runtime == CPU


def test_a_silent_worker_is_gone_and_comes_back_with_its_next_beat(redis_url: str, client: Client) -> None:
    registration = WorkerRegistration(client, "w")
    registration.register([MODEL], ["images", "videos"])
    registration.announce_runtime(CPU)
    assert 0 < client.ttl("adis:heartbeat:w") <= 15
    client.delete("adis:heartbeat:w")
    assert workers(redis_url) == []
    assert registration.beat()
    assert workers(redis_url)[0].runtime == CPU


def test_a_heartbeat_from_a_clock_that_was_put_back_is_none(redis_url: str, client: Client) -> None:
    registration = WorkerRegistration(client, "w")
    registration.register([MODEL], ["images", "videos"])
    client.expire("adis:heartbeat:w", 3600 + 15)
    assert workers(redis_url) == []
    registration.beat()
    assert len(workers(redis_url)) == 1


def test_a_worker_that_leaves_is_gone_at_once(redis_url: str, client: Client) -> None:
    registration = WorkerRegistration(client, "w")
    registration.register([MODEL], ["images", "videos"])
    registration.deregister()
    assert workers(redis_url) == []


def test_a_worker_learns_that_redis_has_forgotten_it(client: Client) -> None:
    registration = WorkerRegistration(client, "w")
    registration.register([MODEL], ["images", "videos"])
    client.flushall()
    assert not registration.beat()


def test_a_roster_is_asked_for_anew_when_it_is_too_old(redis_url: str, client: Client) -> None:
    async def look(asynchronous: AsyncClient) -> list[int]:
        worker_registry = WorkerRegistry(asynchronous)
        found = [len(await worker_registry.live(kept_seconds=0.5))]
        WorkerRegistration(client, "w").register([MODEL], ["images"])
        found.append(len(await worker_registry.live(kept_seconds=60)))
        await asyncio.sleep(0.1)
        found.append(len(await worker_registry.live(kept_seconds=0.05)))
        WorkerRegistration(client, "w").deregister()
        return [*found, len(await worker_registry.live())]

    assert with_client(redis_url, look) == [0, 0, 1, 0]
