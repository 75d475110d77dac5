"""No job is left lying: its message is sent again if it got lost, or its worker did."""

import time
from collections.abc import Iterator

import pytest
from celery import Celery

from service.jobs import reaper
from service.jobs.lease import LeaseTerms
from service.jobs.owner import Owner, this_process
from service.jobs.queue import QUEUES, make_queue, messages, send, send_help
from service.jobs.reaper import requeue_overdue
from service.jobs.record import JobState
from service.redis.connection import Client
from service.settings import Settings
from service.work.tasks import PoolProcess, register_tasks
from tests.service.jobs.harness import TERMS, claimed, owner, read, submitted
from tests.service.jobs.test_lease import BRIEF, wait


@pytest.fixture
def app(redis_url: str) -> Iterator[Celery]:
    with make_queue(redis_url, 600) as made:
        yield made


@pytest.fixture
def _no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reaper, "GRACE_SECONDS", 0.0)


def queued(redis_url: str, app: Celery) -> str:
    """The id of a job whose message was sent."""
    job_id = submitted(redis_url)
    send(app, job_id, "image")
    return job_id


def waiting(client: Client) -> int:
    count: int = client.llen(messages("images"))
    return count


def take_message(client: Client) -> str:
    """The message that a worker would be given next."""
    return str(client.rpop(messages("images")))


@pytest.mark.usefixtures("_no_grace")
def test_a_sent_job_is_not_sent_again(redis_url: str, client: Client, app: Celery) -> None:
    queued(redis_url, app)
    assert requeue_overdue(client, app, TERMS) == 0
    assert waiting(client) == 1


def test_each_kind_goes_to_the_queue_of_its_workers(client: Client, app: Celery) -> None:
    for kind, queue in QUEUES.items():
        send(app, f"a-{kind}", kind)
        assert f"a-{kind}" in str(client.rpop(messages(queue)))
    send_help(app, "abc")
    assert "abc" in str(client.rpop(messages("videos")))


def test_a_worker_sends_messages_too(client: Client, app: Celery, redis_url: str) -> None:
    settings = Settings()
    register_tasks(app, PoolProcess(app, settings, redis_url, "w"), settings)  # as only workers have them
    send(app, "abc", "image")
    send_help(app, "abc")
    assert (client.llen(messages("images")), client.llen(messages("videos"))) == (1, 1)


def test_a_message_that_was_never_sent_is_sent_after_a_while(
    redis_url: str, client: Client, app: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted(redis_url)  # and whoever did so died before it sent the message
    assert requeue_overdue(client, app, TERMS) == 0  # it may still be on its way
    monkeypatch.setattr(reaper, "GRACE_SECONDS", 0.0)
    assert requeue_overdue(client, app, TERMS) == 1
    assert requeue_overdue(client, app, TERMS) == 0
    assert waiting(client) == 1


@pytest.mark.usefixtures("_no_grace")
def test_a_message_that_died_with_its_worker_is_sent_again_once_a_later_job_is_served(
    redis_url: str, client: Client, app: Celery
) -> None:
    lost, served, behind = (queued(redis_url, app) for _ in range(3))
    assert lost in take_message(client)  # by a worker that was killed before it claimed the job
    assert requeue_overdue(client, app, TERMS) == 0  # nobody can know yet
    assert served in take_message(client)
    claimed(client, served)
    assert requeue_overdue(client, app, TERMS) == 1
    assert requeue_overdue(client, app, TERMS) == 0  # its new message waits behind the others
    assert behind in take_message(client)
    claimed(client, behind)
    assert requeue_overdue(client, app, TERMS) == 0
    assert lost in take_message(client)


@pytest.mark.usefixtures("_no_grace")
def test_a_job_that_is_taken_over_by_its_old_message_makes_no_other_look_lost(
    redis_url: str, client: Client, app: Celery
) -> None:
    here = this_process("w")
    killed, behind = (queued(redis_url, app) for _ in range(2))
    assert killed in take_message(client)
    claimed(client, killed, Owner(here.scope, here.pid, "1", "w"))
    assert claimed(client, killed).record.attempt == 2  # Celery gives the message of a killed process out again
    assert requeue_overdue(client, app, TERMS) == 0
    assert behind in take_message(client)


@pytest.mark.usefixtures("_no_grace")
def test_a_job_whose_record_is_gone_leaves_the_line(redis_url: str, client: Client, app: Celery) -> None:
    for key in ("adis:queued:image", "adis:running"):
        client.zadd(key, {"0" * 32: 1})
    assert requeue_overdue(client, app, TERMS) == 0
    assert client.exists("adis:queued:image", "adis:running") == 0


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


def test_what_a_clock_an_hour_ahead_wrote_holds_nothing_up(redis_url: str, client: Client, app: Celery) -> None:
    ahead = time.time() + 3600
    running, late, fresh = (submitted(redis_url) for _ in range(3))
    claimed(client, running)
    client.zadd("adis:running", {running: ahead + 30})  # and then its worker died
    client.zadd("adis:queued:image", {late: ahead})  # and then its message was lost
    client.hset("adis:served", "image", ahead)
    send(app, fresh, "image")
    assert requeue_overdue(client, app, TERMS) == 0
    now = time.time()
    assert client.zscore("adis:running", running) == pytest.approx(now + TERMS.lease_seconds, abs=2)
    assert client.zscore("adis:queued:image", late) == pytest.approx(now, abs=2)
    client.zadd("adis:queued:image", {late: now - 60, fresh: now - 60})  # a minute later
    assert requeue_overdue(client, app, TERMS) == 0  # what waits in its line has not been overtaken
    claimed(client, fresh)
    assert float(client.hget("adis:served", "image")) == pytest.approx(now - 60, abs=2)


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
