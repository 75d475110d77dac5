"""One worker at a time holds a job; what is lost is given out again, and what is lost too often fails."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from service.jobs.lease import LeaseLost, LeaseTerms, claim, release_all
from service.jobs.owner import Owner, is_dead, this_process
from service.jobs.record import JobState
from service.redis.connection import Client
from tests.service.jobs.harness import TERMS, claimed, delete, owner, read, result, submitted

BRIEF = LeaseTerms(lease_seconds=0.05, max_attempts=3, lifetime_seconds=100)


def wait(seconds: float) -> None:
    threading.Event().wait(seconds)


def test_a_claimed_job_runs_and_says_who_holds_it(redis_url: str, client: Client) -> None:
    job_id = submitted(redis_url)
    lease = claimed(client, job_id)
    record = read(redis_url, job_id)
    assert record == lease.record
    assert (record.state, record.attempt, record.owner) == (JobState.RUNNING, 1, str(owner()))
    assert record.started is not None


def test_a_held_job_is_left_to_its_holder(redis_url: str, client: Client) -> None:
    job_id = submitted(redis_url)
    claimed(client, job_id)
    assert claim(client, job_id, owner("second"), TERMS) is None


@pytest.mark.parametrize("ended", ["succeeded", "failed", "cancelled", "erased", "unknown"])
def test_a_message_for_a_job_that_has_ended_does_nothing(redis_url: str, client: Client, ended: str) -> None:
    job_id = submitted(redis_url)
    if ended in ("succeeded", "erased"):
        claimed(client, job_id).succeed([result()], {})
    elif ended == "failed":
        claimed(client, job_id).fail({"status": 422})
    if ended in ("cancelled", "erased"):
        delete(redis_url, job_id)
    assert claim(client, "0" * 32 if ended == "unknown" else job_id, owner(), TERMS) is None


def test_results_and_times_are_in_the_record_of_a_job_that_succeeded(redis_url: str, client: Client) -> None:
    job_id = submitted(redis_url)
    claimed(client, job_id).succeed([result()], {"decode": 0.5})
    record = read(redis_url, job_id)
    assert record.state is JobState.SUCCEEDED
    assert (record.results, record.seconds, record.done, record.owner) == ((result(),), {"decode": 0.5}, 1, None)
    assert record.created <= (record.started or 0) <= (record.finished or 0)


def test_the_problem_is_in_the_record_of_a_job_that_failed(redis_url: str, client: Client) -> None:
    job_id = submitted(redis_url)
    claimed(client, job_id).fail({"status": 422, "detail": 'a "quoted" word'})
    record = read(redis_url, job_id)
    assert (record.state, record.error) == (JobState.FAILED, {"status": 422, "detail": 'a "quoted" word'})


def test_an_answer_that_got_lost_on_the_way_may_be_asked_for_again(redis_url: str, client: Client) -> None:
    lease = claimed(client, submitted(redis_url))
    for _ in range(2):
        lease.succeed([result()], {})


def test_the_holder_of_a_cancelled_job_learns_it_at_its_next_report(redis_url: str, client: Client) -> None:
    for erase_too in (False, True):
        lease = claimed(client, submitted(redis_url))
        delete(redis_url, lease.record.id)
        if erase_too:
            delete(redis_url, lease.record.id)
        with pytest.raises(LeaseLost) as caught:
            lease.progress(0)
        assert caught.value.erased


def test_a_silent_worker_loses_its_job_and_can_write_no_more(redis_url: str, client: Client) -> None:
    job_id = submitted(redis_url)
    silent = claimed(client, job_id, owner("first"), BRIEF)
    wait(0.1)
    second = claimed(client, job_id, owner("second"))
    for write in (lambda: silent.progress(1), lambda: silent.succeed([], {}), lambda: silent.fail({})):
        with pytest.raises(LeaseLost) as caught:
            write()
        assert not caught.value.erased
    assert (second.record.attempt, second.record.lost) == (2, 1)
    second.succeed([result()], {})
    assert read(redis_url, job_id).results == (result(),)


def test_a_lease_is_renewed_while_the_work_goes_on(redis_url: str, client: Client) -> None:
    job_id = submitted(redis_url)
    terms = LeaseTerms(lease_seconds=2.0, max_attempts=3, lifetime_seconds=100)
    lease = claimed(client, job_id, terms=terms)
    with lease.renewed():
        wait(4.5)
        assert claim(client, job_id, owner("second"), terms) is None
    lease.succeed([result()], {})


def test_a_job_whose_worker_was_killed_is_taken_over_at_once(redis_url: str, client: Client) -> None:
    program = "import sys; from service.jobs.owner import this_process; print(this_process('w'), flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        scope, pid, born, worker = process.stdout.readline().decode().strip().split("/")
        killed = Owner(scope, int(pid), born, worker)
        job_id = submitted(redis_url)
        claimed(client, job_id, killed)
        assert not is_dead(str(killed))
        assert claim(client, job_id, owner(), TERMS) is None
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert is_dead(str(killed))
    assert claimed(client, job_id).record.lost == 1


def test_a_job_that_kills_every_worker_fails_with_a_problem(redis_url: str, client: Client) -> None:
    job_id = submitted(redis_url)
    for attempt in range(3):
        claimed(client, job_id, owner(pid=attempt), BRIEF)
        wait(0.1)
    assert claim(client, job_id, owner(pid=9), BRIEF) is None
    record = read(redis_url, job_id)
    assert record.state is JobState.FAILED
    assert record.error is not None
    assert record.error["type"] == "/problems/lost-too-often"
    assert "3 times" in record.error["detail"]


def test_what_a_stopping_worker_gives_back_does_not_count_as_lost(redis_url: str, client: Client) -> None:
    given_back = [submitted(redis_url), submitted(redis_url)]
    others = submitted(redis_url)
    for job_id in given_back:
        claimed(client, job_id, owner("stopping"))
    claimed(client, others, owner("other"))
    assert sorted(release_all(client, "stopping")) == sorted((job_id, "image") for job_id in given_back)
    assert [read(redis_url, job_id).state for job_id in [*given_back, others]] == ["queued", "queued", "running"]
    assert claimed(client, given_back[0]).record.lost == 0


def test_this_process_is_alive_and_others_of_its_id_are_not_it() -> None:
    here = this_process("w")
    assert here.pid == os.getpid()
    assert not is_dead(str(here))
    assert is_dead(str(Owner(here.scope, here.pid, "1", "w")))
    assert not is_dead(str(owner()))  # another machine's: nobody can know
    assert not is_dead("nonsense")
