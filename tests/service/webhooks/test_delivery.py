"""However a job ends, its client's server is told: by one process at a time, until it listens."""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from ipaddress import ip_network

import pytest

from service.auth.keys import ApiKeyRepository
from service.jobs.lease import LeaseTerms, claim
from service.jobs.queue import make_queue
from service.jobs.reaper import requeue_overdue
from service.jobs.record import JobRecord
from service.jobs.submission_repository import SubmissionRepository
from service.redis.connection import Client
from service.webhooks.address import AddressRules
from service.webhooks.deliverer import LEASE_SECONDS, MAX_ATTEMPTS, WAITS_SECONDS, Deliverer
from service.webhooks.request import EVENTS
from service.webhooks.schedule import DeliveryState, Schedule
from service.webhooks.sender import Sender
from service.webhooks.signing import SigningSecrets
from tests.service.api.harness import HEARD
from tests.service.jobs.harness import TERMS, claimed, delete, new_job, owner, read, result, submit, with_client
from tests.support.receiver import SECRET, Receiver, running_receiver

AT_ONCE = [0.0] * len(WAITS_SECONDS)
LOST_AT_ONCE = LeaseTerms(lease_seconds=0, max_attempts=1, lifetime_seconds=100)


def new_hook_job(url: str, receiver: Receiver, events: tuple[str, ...] = EVENTS) -> str:
    more = {"webhook_url": f"{receiver.address}/hook", "webhook_events": ",".join(events)}
    return submit(url, replace(new_job(), more=more))[0]


def deliver(
    url: str, waits: Sequence[float] = AT_ONCE, lease_seconds: float = LEASE_SECONDS, processes: int = 1
) -> int:
    """Deliver all that is due now, in as many processes, each new to it all; returns the attempts."""
    rules = AddressRules(allow_http=True, private_networks=(ip_network("127.0.0.0/8"),))

    async def deliver_due(client: object, seed: int) -> int:
        schedule = Schedule(client, lease_seconds, MAX_ATTEMPTS)
        submissions = SubmissionRepository(client, 100, TERMS.lifetime_seconds)
        secrets = SigningSecrets(SECRET, ApiKeyRepository(client))
        deliverer = Deliverer(schedule, submissions, Sender(rules), secrets, random.Random(seed), waits)
        count = 0
        while (delivery := await schedule.take()) is not None:
            await deliverer.deliver(delivery)
            count += 1
        return count

    async def work(client: object) -> int:
        return sum(await asyncio.gather(*(deliver_due(client, seed) for seed in range(processes))))

    return with_client(url, work)


def state(record: JobRecord) -> tuple[str | None, int, int | None]:
    return record.webhook_state, record.webhook_attempts, record.webhook_last_status


def succeed(url: str, client: Client, job_id: str) -> None:
    claimed(client, job_id).succeed([result().model_copy(update={"heard": HEARD})], {})


def fail(url: str, client: Client, job_id: str) -> None:
    claimed(client, job_id).fail({"type": "/problems/x", "title": "T", "status": 422, "detail": "d"})


def cancel(url: str, client: Client, job_id: str) -> None:
    delete(url, job_id)


def cancel_running(url: str, client: Client, job_id: str) -> None:
    claimed(client, job_id)
    delete(url, job_id)


def poison(url: str, client: Client, job_id: str) -> None:
    """Its worker died over it, which another one finds."""
    claimed(client, job_id, owner("first"), LOST_AT_ONCE)
    assert claim(client, job_id, owner("second"), LOST_AT_ONCE) is None


def rescue(url: str, client: Client, job_id: str) -> None:
    """Its worker died over it, which the look after lost jobs finds."""
    claimed(client, job_id, owner("first"), LOST_AT_ONCE)
    with make_queue(url, 600) as app:
        assert requeue_overdue(client, app, LOST_AT_ONCE) == 0


@pytest.mark.parametrize(
    ("end", "type_"),
    [
        (succeed, "job.succeeded"),
        (fail, "job.failed"),
        (cancel, "job.cancelled"),
        (cancel_running, "job.cancelled"),
        (poison, "job.failed"),
        (rescue, "job.failed"),
    ],
)
def test_every_end_is_told(redis_url: str, client: Client, end: Callable[[str, Client, str], None], type_: str) -> None:
    with running_receiver() as receiver:
        job_id = new_hook_job(redis_url, receiver)
        assert deliver(redis_url) == 0
        end(redis_url, client, job_id)
        assert state(read(redis_url, job_id)) == ("pending", 0, None)
        assert deliver(redis_url) == 1
    (post,) = receiver.posts
    message = post.verified()
    data = message["data"]
    assert isinstance(data, dict)
    assert (message["type"], data["id"], f"job.{data['state']}") == (type_, job_id, type_)
    assert message["timestamp"] == data["finished_at"]
    assert not {"webhook", "inputs"} & data.keys()
    assert state(read(redis_url, job_id)) == ("delivered", 1, 204)
    assert client.zcard("adis:webhooks") == 0


def test_an_end_that_was_not_asked_for_is_not_told(redis_url: str, client: Client) -> None:
    with running_receiver() as receiver:
        job_id = new_hook_job(redis_url, receiver, ("job.failed", "job.cancelled"))
        succeed(redis_url, client, job_id)
        assert deliver(redis_url) == 0
    assert (state(read(redis_url, job_id)), client.zcard("adis:webhooks")) == ((None, 0, None), 0)


def test_a_failed_attempt_is_repeated_by_whoever_comes_next_with_the_same_message(
    redis_url: str, client: Client
) -> None:
    with running_receiver(500, 302, 429) as receiver:
        job_id = new_hook_job(redis_url, receiver)
        succeed(redis_url, client, job_id)
        assert deliver(redis_url, [1000.0] * len(AT_ONCE)) == 1
        assert state(read(redis_url, job_id)) == ("pending", 1, 500)
        assert deliver(redis_url) == 0  # it is not time yet
        client.zadd("adis:webhooks", {job_id: 0})
        assert deliver(redis_url) == 3
    assert state(read(redis_url, job_id)) == ("delivered", 4, 204)
    assert len({(post.headers["webhook-id"], post.body) for post in receiver.posts}) == 1
    assert all(post.verified() for post in receiver.posts)


def test_a_receiver_that_is_gone_is_told_no_more(redis_url: str, client: Client) -> None:
    with running_receiver(410) as receiver:
        job_id = new_hook_job(redis_url, receiver)
        succeed(redis_url, client, job_id)
        assert deliver(redis_url) == 1
    assert state(read(redis_url, job_id)) == ("failed", 1, 410)
    assert client.zcard("adis:webhooks") == 0


def test_a_delivery_is_given_up_after_the_last_attempt(redis_url: str, client: Client) -> None:
    with running_receiver(*[503] * MAX_ATTEMPTS) as receiver:
        job_id = new_hook_job(redis_url, receiver)
    succeed(redis_url, client, job_id)
    assert deliver(redis_url) == MAX_ATTEMPTS  # nobody listens any more
    assert state(read(redis_url, job_id)) == ("failed", MAX_ATTEMPTS, None)
    assert client.zcard("adis:webhooks") == 0


def test_several_processes_tell_each_end_once(redis_url: str, client: Client) -> None:
    with running_receiver() as receiver:
        job_ids = [new_hook_job(redis_url, receiver) for _ in range(20)]
        for job_id in job_ids:
            succeed(redis_url, client, job_id)
        assert deliver(redis_url, processes=4) == 20
    assert sorted(post.headers["webhook-id"] for post in receiver.posts) == sorted(f"msg_{one}" for one in job_ids)


def test_an_attempt_whose_process_died_is_made_again(redis_url: str, client: Client) -> None:
    with running_receiver() as receiver:
        job_id = new_hook_job(redis_url, receiver)
        succeed(redis_url, client, job_id)
        for lease_seconds in (0.0, LEASE_SECONDS):  # taken, and nothing was heard of it
            with_client(redis_url, lambda other, lease=lease_seconds: Schedule(other, lease, MAX_ATTEMPTS).take())
        assert deliver(redis_url) == 0  # the second may still be at it
        client.zadd("adis:webhooks", {job_id: 0})
        assert deliver(redis_url) == 1
    assert state(read(redis_url, job_id)) == ("delivered", 3, 204)


def test_what_a_late_process_says_of_its_attempt_does_not_count(redis_url: str, client: Client) -> None:
    with running_receiver(410) as receiver:
        job_id = new_hook_job(redis_url, receiver)
        succeed(redis_url, client, job_id)

        async def overtaken(other: object) -> None:
            schedule = Schedule(other, 0.0, MAX_ATTEMPTS)
            late, next_one = await schedule.take(), await schedule.take()
            assert late is not None
            assert next_one is not None
            assert not await schedule.settle(late, DeliveryState.FAILED, 410)
            assert await schedule.settle(next_one, DeliveryState.DELIVERED, 200)

        with_client(redis_url, overtaken)
    assert state(read(redis_url, job_id)) == ("delivered", 2, 200)


def test_erasing_a_job_drops_its_delivery(redis_url: str, client: Client) -> None:
    with running_receiver() as receiver:
        job_id = new_hook_job(redis_url, receiver)
        succeed(redis_url, client, job_id)
        delete(redis_url, job_id)
        assert (client.zcard("adis:webhooks"), deliver(redis_url)) == (0, 0)
    assert receiver.posts == []
    assert client.keys("adis:job:*") == []


def test_the_delivery_of_a_job_that_expired_is_dropped(redis_url: str, client: Client) -> None:
    with running_receiver() as receiver:
        job_id = new_hook_job(redis_url, receiver)
        succeed(redis_url, client, job_id)
        client.delete(f"adis:job:{job_id}")
        assert deliver(redis_url) == 0
    assert (client.zcard("adis:webhooks"), client.keys("adis:job:*")) == (0, [])


def test_attempts_are_further_and_further_apart_and_never_in_step(redis_url: str, client: Client) -> None:
    with running_receiver(*[503] * 2 * MAX_ATTEMPTS) as receiver:
        first, second = (new_hook_job(redis_url, receiver) for _ in range(2))
        for job_id in (first, second):
            succeed(redis_url, client, job_id)
        waits: dict[str, list[float]] = {first: [], second: []}
        for _ in WAITS_SECONDS:
            seconds, microseconds = client.time()
            assert deliver(redis_url, WAITS_SECONDS) == 2
            for job_id, due in client.zrange("adis:webhooks", 0, -1, withscores=True):
                waits[job_id].append(due - seconds - microseconds / 1e6)
            client.zadd("adis:webhooks", {first: 0, second: 0})
    for each in waits.values():
        assert each == sorted(each)
        # a busy machine's seconds pass while attempts are made
        assert all(0.8 * wait <= seen <= 1.2 * wait + 30 for wait, seen in zip(WAITS_SECONDS, each, strict=True))
    assert waits[first] != waits[second]
