"""Whoever waits for a job learns of its changes at once, and of those that came before."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.jobs.events import JobEvent, JobEventBus
from service.redis.connection import Client, connect_async
from tests.service.jobs.harness import claimed, delete, result, submitted

PATIENCE_SECONDS = 60.0


@asynccontextmanager
async def event_bus(url: str) -> AsyncIterator[JobEventBus]:
    client = connect_async(url)
    opened = JobEventBus(client)
    task = asyncio.create_task(opened.run())
    try:
        yield opened
    finally:
        opened.close()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await client.aclose()


async def subscribed(client: Client) -> None:
    """Wait until the event bus listens, so that a test does not pass by its first look."""
    while not client.pubsub_numsub("adis:job-events")[0][1]:
        await asyncio.sleep(0.01)


async def events_of(room: JobEventBus, job_id: str, after: str = "0") -> list[JobEvent]:
    return [event async for event in room.follow(job_id, after)]


def told(events: list[JobEvent]) -> list[tuple[str, str, int]]:
    """Name, state and what is done, of each event."""
    documents = [json.loads(event.data) for event in events]
    return [
        (event.name, document["state"], document["progress"]["done"])
        for event, document in zip(events, documents, strict=True)
    ]


WHOLE_LIFE = [
    ("state", "queued", 0),
    ("state", "running", 0),
    ("progress", "running", 1),
    ("progress", "running", 2),  # the last is told with the end
    ("state", "succeeded", 2),
]


def live_through(client: Client, job_id: str) -> None:
    lease = claimed(client, job_id)
    lease.progress(0)  # nothing new, so nothing is told
    lease.progress(1)
    lease.succeed([result(), result()], {})


def test_one_who_waits_is_woken_by_the_end(redis_url: str, client: Client) -> None:
    async def scenario() -> bool:
        async with event_bus(redis_url) as room:
            await subscribed(client)
            waiting = asyncio.create_task(room.wait_until_ended(job_id, PATIENCE_SECONDS))
            await asyncio.sleep(0.05)
            assert not waiting.done()
            await asyncio.to_thread(live_through, client, job_id)
            return await asyncio.wait_for(waiting, 10)

    job_id = submitted(redis_url, total=2)
    assert asyncio.run(scenario())


def test_the_news_says_itself_whether_the_job_has_ended(redis_url: str, client: Client) -> None:
    async def scenario() -> bool:
        async with event_bus(redis_url) as room:
            await subscribed(client)
            waiting = asyncio.create_task(room.wait_until_ended(job_id, PATIENCE_SECONDS))
            for news in (job_id, f"{job_id} running"):  # without a state, as it was once: then the record is asked
                await asyncio.sleep(0.05)
                client.publish("adis:job-events", news)
            await asyncio.sleep(0.05)
            assert not waiting.done()
            client.publish("adis:job-events", f"{job_id} succeeded")
            return await asyncio.wait_for(waiting, 10)

    job_id = submitted(redis_url)  # its record says that it waits
    assert asyncio.run(scenario())


def test_a_cancelled_an_ended_and_an_unknown_job_are_not_waited_for(redis_url: str, client: Client) -> None:
    async def scenario(job_id: str) -> bool:
        async with event_bus(redis_url) as room:
            return await room.wait_until_ended(job_id, PATIENCE_SECONDS)

    cancelled, ended = submitted(redis_url), submitted(redis_url)
    delete(redis_url, cancelled)
    claimed(client, ended).succeed([result()], {})
    assert [asyncio.run(scenario(job_id)) for job_id in (cancelled, ended, "0" * 32)] == [True, True, True]


def test_time_is_up_before_the_job_ends(redis_url: str) -> None:
    async def scenario() -> bool:
        async with event_bus(redis_url) as room:
            return await room.wait_until_ended(job_id, 0.05)

    job_id = submitted(redis_url)
    assert not asyncio.run(scenario())


def test_a_stopping_service_lets_everybody_go(redis_url: str, client: Client) -> None:
    async def scenario() -> tuple[bool, list[JobEvent]]:
        async with event_bus(redis_url) as room:
            await subscribed(client)
            waiting = asyncio.create_task(room.wait_until_ended(job_id, PATIENCE_SECONDS))
            following = asyncio.create_task(events_of(room, job_id))
            await asyncio.sleep(0.1)
            room.close()
            return await asyncio.wait_for(waiting, 10), await asyncio.wait_for(following, 10)

    job_id = submitted(redis_url)
    ended, events = asyncio.run(scenario())
    assert not ended
    assert told(events) == WHOLE_LIFE[:1]


def test_events_are_followed_while_they_happen(redis_url: str, client: Client) -> None:
    async def scenario() -> list[JobEvent]:
        async with event_bus(redis_url) as room:
            await subscribed(client)
            following = asyncio.create_task(events_of(room, job_id))
            await asyncio.sleep(0.05)
            await asyncio.to_thread(live_through, client, job_id)
            return await asyncio.wait_for(following, 10)

    job_id = submitted(redis_url, total=2)
    events = asyncio.run(scenario())
    assert told(events) == WHOLE_LIFE
    assert len({event.id for event in events}) == len(events)


def test_past_events_are_replayed_from_any_point(redis_url: str, client: Client) -> None:
    async def scenario(after: str) -> list[JobEvent]:
        async with event_bus(redis_url) as room:
            return await events_of(room, job_id, after)

    job_id = submitted(redis_url, total=2)
    live_through(client, job_id)
    everything = asyncio.run(scenario("0"))
    assert told(everything) == WHOLE_LIFE
    for index, event in enumerate(everything):
        assert asyncio.run(scenario(event.id)) == everything[index + 1 :]


def test_the_last_event_of_a_failed_job_carries_its_problem(redis_url: str, client: Client) -> None:
    async def scenario() -> list[JobEvent]:
        async with event_bus(redis_url) as room:
            return await events_of(room, job_id)

    job_id = submitted(redis_url)
    claimed(client, job_id).fail({"status": 422, "detail": "damaged"})
    assert json.loads(asyncio.run(scenario())[-1].data)["error"] == {"status": 422, "detail": "damaged"}


def test_a_broken_subscription_is_made_again(redis_url: str, client: Client) -> None:
    async def scenario() -> bool:
        async with event_bus(redis_url) as room:
            await subscribed(client)
            waiting = asyncio.create_task(room.wait_until_ended(job_id, PATIENCE_SECONDS))
            await asyncio.sleep(0.05)
            client.client_kill_filter(_type="pubsub")
            await subscribed(client)
            await asyncio.to_thread(live_through, client, job_id)
            return await asyncio.wait_for(waiting, 10)

    job_id = submitted(redis_url, total=2)
    assert asyncio.run(scenario())


def test_hundreds_of_readers_are_all_told_and_take_few_connections(redis_url: str, client: Client) -> None:
    job_id = submitted(redis_url)
    readers = 300

    async def run() -> list[list[JobEvent]]:
        async with event_bus(redis_url) as room:
            await subscribed(client)
            reading = [asyncio.create_task(events_of(room, job_id)) for _ in range(readers)]
            async with asyncio.timeout(PATIENCE_SECONDS):
                while sum(map(len, room._waiters.values())) < readers:
                    await asyncio.sleep(0.01)
            room._wake_all()  # as after a broken subscription, or a long silence
            await asyncio.to_thread(delete, redis_url, job_id)
            found = await asyncio.wait_for(asyncio.gather(*reading), PATIENCE_SECONDS)
            assert client.info("clients")["connected_clients"] < 100
            return found

    assert {tuple(told(events)) for events in asyncio.run(run())} == {
        (("state", "queued", 0), ("state", "cancelled", 0))
    }
