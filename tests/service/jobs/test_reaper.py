"""A job is never left lying: its message is sent again if it got lost, or its worker did."""

import base64
import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery

from service.jobs import reaper, submission_repository
from service.jobs.connection import Client
from service.jobs.lease import LeaseTerms
from service.jobs.owner import Owner, this_process
from service.jobs.queue import TASKS, MessageWriter, make_queue, messages, send
from service.jobs.reaper import requeue_overdue
from service.jobs.record import JobState
from tests.service.jobs.harness import TERMS, claimed, new_job, owner, read, submit, submitted
from tests.service.jobs.test_lease import BRIEF, wait


@pytest.fixture
def app(redis_url: str) -> Iterator[Celery]:
    with make_queue(redis_url, 600) as made:
        yield made


def queued(redis_url: str) -> str:
    """The id of a job whose message went out with its record."""
    job = new_job()
    message = MessageWriter().write(job.id, "picture")
    return submit(redis_url, dataclasses.replace(job, message=message))[0]


def waiting(client: Client) -> int:
    count: int = client.llen(messages("picture"))
    return count


def test_a_sent_job_is_not_sent_again(redis_url: str, client: Client, app: Celery) -> None:
    queued(redis_url)
    assert requeue_overdue(client, app, TERMS) == 0
    assert (waiting(client), client.zcard("adis:due")) == (1, 0)


def test_a_message_is_written_as_celery_would_send_it(client: Client, app: Celery) -> None:
    def read_out(text: str) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(text)
        assert json.loads(base64.b64decode(message["body"]))[0] == ["abc"]
        for place, name in (("headers", "id"), ("headers", "root_id"), ("properties", "correlation_id")):
            message[place][name] = None  # drawn
        for name in ("delivery_tag", "reply_to"):
            message["properties"].pop(name, None)
        return message

    for kind in TASKS:
        send(app, "abc", kind)
        sent = client.rpop(messages(kind))
        assert read_out(MessageWriter().write("abc", kind)) == read_out(sent)


def test_a_message_that_never_went_out_is_sent_after_a_while(
    redis_url: str, client: Client, app: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted(redis_url)
    assert requeue_overdue(client, app, TERMS) == 0  # its sender may still be at it
    monkeypatch.setattr(submission_repository, "SEND_GRACE_SECONDS", -1.0)
    submitted(redis_url)
    assert requeue_overdue(client, app, TERMS) == 1
    assert requeue_overdue(client, app, TERMS) == 0
    assert waiting(client) == 1


def test_a_message_that_died_with_its_worker_is_sent_again(
    redis_url: str, client: Client, app: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued(redis_url)
    monkeypatch.setattr(reaper, "SEND_GRACE_SECONDS", 0.0)
    assert requeue_overdue(client, app, TERMS) == 0  # its message waits like everybody's
    client.delete(messages("picture"))  # taken by a worker that was killed before it began
    assert requeue_overdue(client, app, TERMS) == 1
    assert waiting(client) == 1


def test_a_message_that_died_with_its_worker_is_sent_again_though_others_wait(
    redis_url: str, client: Client, app: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hand_in() -> str:
        job_id = queued(redis_url)
        wait(0.02)
        return job_id

    taken = hand_in()
    client.delete(messages("picture"))  # taken by a worker that was killed before it began
    others = [hand_in(), hand_in()]
    assert requeue_overdue(client, app, TERMS) == 0  # it may still be on its way
    monkeypatch.setattr(reaper, "SEND_GRACE_SECONDS", 0.0)
    assert requeue_overdue(client, app, TERMS) == 1
    assert requeue_overdue(client, app, TERMS) == 0  # its new message waits behind theirs
    order = [taken, *others[::-1]]  # the next one is last
    in_list = client.lrange(messages("picture"), 0, -1)
    assert len(in_list) == 3
    assert all(job_id in str(message) for job_id, message in zip(order, in_list, strict=True))


def test_a_job_of_a_silent_worker_is_queued_again(redis_url: str, client: Client, app: Celery) -> None:
    job_id = submitted(redis_url)
    claimed(client, job_id, terms=BRIEF)
    wait(0.1)
    assert requeue_overdue(client, app, TERMS) == 1
    record = read(redis_url, job_id)
    assert (record.state, record.owner, record.lost) == (JobState.QUEUED, None, 1)
    assert waiting(client) == 1
    assert claimed(client, job_id, owner("second")).record.attempt == 2


def test_a_job_of_a_process_that_died_on_this_host_is_queued_again_at_once(
    redis_url: str, client: Client, app: Celery
) -> None:
    here = this_process("w")
    dead = Owner(here.scope, here.pid, "1", "w")  # an earlier process of our own id
    job_ids = [submitted(redis_url), submitted(redis_url)]
    claimed(client, job_ids[0], dead)
    claimed(client, job_ids[1], here)
    assert requeue_overdue(client, app, TERMS) == 1
    assert [read(redis_url, job_id).state for job_id in job_ids] == [JobState.QUEUED, JobState.RUNNING]


def test_a_job_that_was_lost_too_often_fails_instead(redis_url: str, client: Client, app: Celery) -> None:
    job_id = submitted(redis_url)
    claimed(client, job_id, terms=BRIEF)
    wait(0.1)
    assert requeue_overdue(client, app, LeaseTerms(30, 1, 100)) == 0
    assert read(redis_url, job_id).state is JobState.FAILED
    assert waiting(client) == 0


def test_messages_survive_what_kills_a_worker(app: Celery) -> None:
    conf = app.conf
    assert conf.task_acks_late
    assert conf.task_reject_on_worker_lost
    assert conf.worker_prefetch_multiplier == 1
    assert conf.task_ignore_result
    assert conf.accept_content == ["json"]
    limits = (conf.task_soft_time_limit, conf.task_time_limit, conf.broker_transport_options["visibility_timeout"])
    assert sorted(limits) == list(limits)
    assert conf.result_backend_transport_options == conf.broker_transport_options
