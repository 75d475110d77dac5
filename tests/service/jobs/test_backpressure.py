"""The queue is bounded for each kind of job, in jobs and in bytes, and says how long it will take."""

import random
from collections import Counter
from dataclasses import replace

import pytest

from service.errors import JobNotFound, QueueFull
from service.jobs.lease import Lease, LeaseLost, LeaseTerms, claim
from service.jobs.queue import QUEUES, make_queue
from service.jobs.reaper import requeue_overdue
from service.jobs.record import JobState, StoredInput
from service.jobs.submission_repository import NewJob, SubmissionRepository
from service.jobs.wait_estimator import WaitEstimator
from service.kind import Kind
from service.redis.connection import AsyncClient, Client
from tests.service.jobs.harness import TERMS, claimed, delete, new_job, owner, result, submit, with_client

LOST_AT_ONCE = LeaseTerms(lease_seconds=0, max_attempts=2, lifetime_seconds=100)


def job_of(kind: Kind = "image", size: int = 10, total: int = 1) -> NewJob:
    return replace(new_job(total=total), kind=kind, inputs=(StoredInput(field="image", sha256="a" * 64, bytes=size),))


def submit_bounded(url: str, job: NewJob, most_bytes: int, slots: int = 1) -> str:
    return with_client(url, lambda client: SubmissionRepository(client, 100, 100, most_bytes).submit(job, slots))[0]


def loads(client: Client) -> dict[str, int]:
    """What is counted and is not 0."""
    counts = {f"{kind}|bytes": int(value) for kind, value in client.hgetall("adis:bytes").items()}
    counts |= {f"{kind}|jobs": client.zcard(f"adis:queued:{kind}") for kind in QUEUES}
    return {name: value for name, value in counts.items() if value}


def finish_after(client: Client, job_id: str, seconds: float) -> None:
    """End the job well as if it had taken that long."""
    lease = claimed(client, job_id)
    client.hincrbyfloat(f"adis:job:{job_id}", "started", -seconds)
    lease.succeed([result()] * lease.record.total, {})


def test_a_flood_of_videos_keeps_no_image_out(redis_url: str) -> None:
    submit(redis_url, job_of("video"), most=1)
    with pytest.raises(QueueFull, match="1 jobs"):
        submit(redis_url, job_of("video"), most=1)
    assert submit(redis_url, job_of("image"), most=1)[1]
    assert submit(redis_url, job_of("preview"), most=1)[1]


def test_uploads_are_bounded_together_until_their_jobs_end(redis_url: str, client: Client) -> None:
    first = submit_bounded(redis_url, job_of(size=60), 100)
    with pytest.raises(QueueFull, match="60 bytes"):
        submit_bounded(redis_url, job_of(size=41), 100)
    submit_bounded(redis_url, job_of("video", size=100), 100)
    second = submit_bounded(redis_url, job_of(size=40), 100)
    lease = claimed(client, first)
    with pytest.raises(QueueFull, match="100 bytes"):  # what runs is still there
        submit_bounded(redis_url, job_of(size=1), 100)
    lease.succeed([result()], {})
    delete(redis_url, second)
    assert loads(client) == {"video|jobs": 1, "video|bytes": 100}
    submit_bounded(redis_url, job_of(size=100), 100)


def test_a_job_larger_than_the_bound_comes_in_when_nothing_else_is_there(redis_url: str) -> None:
    submit_bounded(redis_url, job_of(size=1000), 100)
    with pytest.raises(QueueFull):
        submit_bounded(redis_url, job_of(size=1), 100)


@pytest.mark.parametrize("seed", range(3))
def test_what_is_counted_never_drifts_however_jobs_end(redis_url: str, client: Client, seed: int) -> None:
    """After each of many random steps the counts are those of the records, and 0 when all is over."""
    rng = random.Random(seed)
    leases: list[Lease] = []
    known: list[tuple[str, str, int]] = []
    ended: Counter[str] = Counter()

    async def run(other: AsyncClient) -> None:
        submissions = SubmissionRepository(other, 100, TERMS.lifetime_seconds, 10**9)

        async def come() -> None:
            kind: Kind = rng.choice(("image", "video", "preview"))
            size = rng.randint(1, 10**8)
            try:
                job_id, _ = await submissions.submit(job_of(kind, size))
            except QueueFull:
                return
            known.append((job_id, kind, size))

        async def step() -> None:
            job_id = rng.choice(known)[0]
            match rng.randrange(8):
                case 0 | 1:
                    await come()
                case 2 | 3:
                    lease = claim(client, job_id, owner(pid=rng.randint(1, 3)), rng.choice((TERMS, LOST_AT_ONCE)))
                    leases.extend([lease] if lease else [])
                case 4:
                    with_lease(lambda lease: lease.succeed([result()], {}))
                case 5:
                    with_lease(lambda lease: lease.fail({"type": "/problems/x", "status": 422}))
                case 6:
                    with_lease(lambda lease: lease.release())
                case _:
                    try:
                        await submissions.delete(job_id)
                    except JobNotFound:
                        return

        def with_lease(act: object) -> None:
            assert callable(act)
            if leases:
                try:
                    act(leases.pop(rng.randrange(len(leases))))
                except LeaseLost:
                    ended["late"] += 1

        await come()
        for number in range(300):
            await step()
            if number % 10 == 0:
                requeue_overdue(client, app, LOST_AT_ONCE)
            assert loads(client) == true_loads(client, known), f"after step {number}"
        ended.update(state for one, _, _ in known if (state := client.hget(f"adis:job:{one}", "state")))
        for job_id, _, _ in known:
            if client.hget(f"adis:job:{job_id}", "state") in ("queued", "running"):
                await submissions.delete(job_id)

    with make_queue(redis_url, 600) as app:
        with_client(redis_url, run)
    assert loads(client) == {}
    assert client.exists("adis:running", *(f"adis:queued:{kind}" for kind in QUEUES)) == 0
    assert {"succeeded", "failed", "cancelled"} <= ended.keys()


def true_loads(client: Client, known: list[tuple[str, str, int]]) -> dict[str, int]:
    """Counted anew from the records."""
    counts: Counter[str] = Counter()
    for job_id, kind, size in known:
        state = client.hget(f"adis:job:{job_id}", "state")
        if state is not None and not JobState(state).ended:
            counts[f"{kind}|bytes"] += size
            counts[f"{kind}|jobs"] += state == "queued"
    return {name: count for name, count in counts.items() if count}


def test_a_full_queue_says_when_its_work_will_be_done(redis_url: str, client: Client) -> None:
    finish_after(client, submit(redis_url, job_of(total=2))[0], 20)  # 10 s for a result
    for total in (1, 5):
        submit_bounded(redis_url, job_of(size=50, total=total), 100)
    for slots, seconds in ((1, 60), (4, 15)):
        with pytest.raises(QueueFull) as caught:
            submit_bounded(redis_url, job_of(), 100, slots)
        assert caught.value.retry_after == pytest.approx(seconds, abs=1)
        assert f"again in {caught.value.retry_after} s" in caught.value.detail


@pytest.mark.parametrize(("took", "said"), [(0.001, 1), (100_000, 3600)])
def test_the_time_said_is_a_second_at_least_and_an_hour_at_most(
    redis_url: str, client: Client, took: float, said: int
) -> None:
    finish_after(client, submit(redis_url, job_of())[0], took)
    client.hset("adis:pace", "image", took)  # without what the test itself took
    submit(redis_url, job_of())
    assert with_client(redis_url, lambda other: WaitEstimator(other).retry_after("image", 1)) == said


def test_until_a_job_of_the_kind_has_ended_nothing_is_estimated(redis_url: str) -> None:
    job = job_of("video")
    submit(redis_url, job)
    assert with_client(redis_url, lambda other: WaitEstimator(other).seconds_until_done(job.id, "video", 1)) is None
    assert with_client(redis_url, lambda other: WaitEstimator(other).retry_after("video", 1)) > 0


def test_newer_jobs_count_more_and_each_kind_for_itself(redis_url: str, client: Client) -> None:
    for seconds in (10, 20):
        finish_after(client, submit(redis_url, job_of())[0], seconds)
    finish_after(client, submit(redis_url, job_of("video", total=100))[0], 50)
    paces = {kind: float(pace) for kind, pace in client.hgetall("adis:pace").items()}
    assert paces == {"image": pytest.approx(12, abs=1), "video": pytest.approx(0.5, abs=0.1)}


def test_a_failed_job_teaches_nothing(redis_url: str, client: Client) -> None:
    claimed(client, submit(redis_url, job_of())[0]).fail({"type": "/problems/x", "status": 422})
    assert client.exists("adis:pace") == 0


def test_a_waiting_job_counts_what_is_before_it_and_what_runs(redis_url: str, client: Client) -> None:
    running, first, second, third = (submit(redis_url, job_of(total=total))[0] for total in (10, 2, 3, 50))
    previews = submit(redis_url, job_of("preview", total=6))[0]
    submit(redis_url, job_of("video", total=1000))
    client.hset("adis:pace", mapping={"image": 10, "preview": 1, "video": 100})
    claimed(client, running).progress(4)

    def estimate(job_id: str, kind: Kind = "image", slots: int = 1) -> float | None:
        return with_client(redis_url, lambda other: WaitEstimator(other).seconds_until_done(job_id, kind, slots))

    assert estimate(first) == 60 + 20
    assert estimate(second) == 60 + 20 + 30
    assert estimate(second, slots=2) == (60 + 20) / 2 + 30
    assert estimate(previews, "preview") == 60 + 20 + 30 + 500 + 6
    assert estimate(running) is None
    delete(redis_url, first)
    assert estimate(third) == 60 + 30 + 500


def test_of_a_long_queue_a_part_stands_for_all(redis_url: str, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    job_ids = [submit(redis_url, job_of())[0] for _ in range(40)]
    client.hset("adis:pace", "image", 2)
    monkeypatch.setattr("service.jobs.wait_estimator._MOST_LOOKED_AT", 10)
    estimate = with_client(redis_url, lambda other: WaitEstimator(other).seconds_until_done(job_ids[-1], "image", 1))
    assert estimate == pytest.approx(80, abs=12)
