"""Jobs are taken in whole or not at all, and stay until they have ended and their time is over."""

import pytest

from service.errors import IdempotencyMismatch, JobNotFound, QueueFull
from service.jobs.record import JobState
from service.redis.connection import Client
from tests.service.jobs.harness import claimed, delete, new_job, read, result, submit, submitted


def test_a_new_job_is_queued_as_it_was_given(redis_url: str) -> None:
    job = new_job(total=3)
    assert submit(redis_url, job) == (job.id, True)
    record = read(redis_url, job.id)
    assert record.state is JobState.QUEUED
    assert (record.parameters, record.inputs, record.total, record.done) == (job.parameters, job.inputs, 3, 0)
    assert (record.started, record.finished, record.expires, record.error, record.results) == (None,) * 4 + ((),)


def test_an_unknown_job_is_not_found(redis_url: str) -> None:
    with pytest.raises(JobNotFound, match="no job"):
        read(redis_url, "0" * 32)
    with pytest.raises(JobNotFound, match="no job"):
        delete(redis_url, "0" * 32)


def test_a_full_queue_refuses_and_says_when_to_come_back(redis_url: str, client: Client) -> None:
    first = submit(redis_url, new_job(), most=1)[0]
    with pytest.raises(QueueFull) as caught:
        submit(redis_url, new_job(), most=1)
    assert caught.value.retry_after
    claimed(client, first)  # what runs does not wait
    assert submit(redis_url, new_job(), most=1)[1]


def test_a_cancelled_job_leaves_its_place_in_the_queue(redis_url: str) -> None:
    delete(redis_url, submit(redis_url, new_job(), most=1)[0])
    assert submit(redis_url, new_job(), most=1)[1]


def test_the_same_key_and_request_give_the_same_job(redis_url: str) -> None:
    first, _ = submit(redis_url, new_job(key="k"))
    assert submit(redis_url, new_job(key="k")) == (first, False)
    assert submit(redis_url, new_job(key="other"))[1]


def test_the_same_key_with_another_request_is_refused(redis_url: str) -> None:
    first, _ = submit(redis_url, new_job(key="k", fingerprint="one"))
    with pytest.raises(IdempotencyMismatch, match="of another request; use a new key") as caught:
        submit(redis_url, new_job(key="k", fingerprint="other"))
    assert first not in caught.value.detail  # an id opens its job


def test_a_repeated_request_is_answered_even_if_the_queue_is_full(redis_url: str) -> None:
    first, _ = submit(redis_url, new_job(key="k"), most=1)
    assert submit(redis_url, new_job(key="k"), most=1) == (first, False)


def test_the_key_of_an_erased_job_is_free_again(redis_url: str, client: Client) -> None:
    first = submitted(redis_url, key="k")
    claimed(client, first).succeed([result()], {})
    delete(redis_url, first)
    assert submit(redis_url, new_job(key="k", fingerprint="other"))[1]


def test_deleting_an_active_job_cancels_it_and_keeps_its_record(redis_url: str, client: Client) -> None:
    for active in (submitted(redis_url), claimed(client, submitted(redis_url)).record.id):
        delete(redis_url, active)
        assert read(redis_url, active).state is JobState.CANCELLED


def test_deleting_an_ended_job_erases_its_record_and_events(redis_url: str, client: Client) -> None:
    job_id = submitted(redis_url, key="k")
    claimed(client, job_id).succeed([result()], {})
    delete(redis_url, job_id)
    with pytest.raises(JobNotFound):
        read(redis_url, job_id)
    assert sorted(client.keys("*")) == ["adis:bytes", "adis:metrics", "adis:pace", "adis:served"]  # numbers, and no ids


def test_an_active_job_does_not_expire_and_an_ended_one_does_with_all_that_belongs_to_it(
    redis_url: str, client: Client
) -> None:
    job_id = submitted(redis_url, key="k")
    kept = [f"adis:job:{job_id}", f"adis:events:{job_id}", "adis:key:k"]
    lease = claimed(client, job_id)
    assert [client.ttl(key) for key in kept] == [-1, -1, -1]
    lease.succeed([result()], {})
    assert all(0 < client.ttl(key) <= 100 for key in kept)
    record = read(redis_url, job_id)
    assert record.finished is not None
    assert record.expires == pytest.approx(record.finished + 100, abs=0.01)
