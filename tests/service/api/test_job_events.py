"""The events of a job: replayed, kept alive, bounded, and ended where Redis goes away."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient
from redis.exceptions import RedisError

from service.api.upload_limits import Shares
from service.jobs.events import JobEventBus
from tests.service.api.harness import events_of
from tests.support.processes import until


def test_the_events_of_an_ended_job_are_replayed_from_where_the_reader_was(http: TestClient, done: str) -> None:
    answer = http.get(f"/jobs/{done}/events")
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    events = events_of(answer.text)
    told = [(event["event"], event["data"]["state"]) for event in events]
    assert told == [("state", "queued"), ("state", "running"), ("progress", "running"), ("state", "succeeded")]
    assert {event["data"]["id"] for event in events} == {done}
    later = http.get(f"/jobs/{done}/events", headers={"Last-Event-ID": events[0]["id"]})
    assert events_of(later.text) == events[1:]


def test_a_reader_who_has_seen_the_end_is_told_not_to_come_back(http: TestClient, done: str) -> None:
    last = events_of(http.get(f"/jobs/{done}/events").text)[-1]["id"]
    assert http.get(f"/jobs/{done}/events", headers={"Last-Event-ID": last}).status_code == 204


@pytest.mark.parametrize("nonsense", ["x", "1-2-3", "9" * 40, "-1", "("])
def test_an_event_id_that_makes_no_sense_means_from_the_start(http: TestClient, done: str, nonsense: str) -> None:
    answer = http.get(f"/jobs/{done}/events", headers={"Last-Event-ID": nonsense})
    assert len(events_of(answer.text)) == 4


def test_a_silent_stream_is_kept_alive(http: TestClient, job_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastapi.routing._PING_INTERVAL", 0.01)
    deletion = threading.Timer(0.5, lambda: http.delete(f"/jobs/{job_id}"))
    deletion.start()
    text = http.get(f"/jobs/{job_id}/events").text
    deletion.join()
    assert ": ping\n\n" in text
    assert [event["data"]["state"] for event in events_of(text)] == ["queued", "cancelled"]


def test_no_client_follows_jobs_without_bound(http: TestClient, job_id: str) -> None:
    context = http.app.state.context  # type: ignore[attr-defined]
    address = f"/jobs/{job_id}/events"
    object.__setattr__(context, "streams", Shares(2))
    waiters = context.event_bus._waiters
    with ThreadPoolExecutor(3) as pool:
        following = [pool.submit(http.get, address) for _ in range(2)]
        until(lambda: len(waiters[job_id]) == 2 or None)
        third = pool.submit(http.get, address)
        until(lambda: third.done() or len(waiters[job_id]) == 3 or None)
        assert http.get(f"/jobs/{job_id}").status_code == 200
        http.delete(f"/jobs/{job_id}")  # which ends all of them
    refused = third.result()
    assert (refused.status_code, refused.json()["type"]) == (429, "/problems/too-many-requests")
    assert refused.headers["Retry-After"]
    assert [len(events_of(answer.result().text)) for answer in following] == [2, 2]
    assert http.get(f"/jobs/{'0' * 32}/events").status_code == 404
    assert [http.get(address).status_code for _ in range(3)] == [200] * 3  # each gives its place back


def test_a_stream_ends_where_redis_goes_away_so_that_its_reader_comes_again(
    http: TestClient, job_id: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    follow = JobEventBus.follow

    async def break_off(bus: JobEventBus, job: str, after: str) -> Any:
        async for event in follow(bus, job, after):
            yield event
            raise RedisError("it went away")

    monkeypatch.setattr(JobEventBus, "follow", break_off)
    assert len(events_of(http.get(f"/jobs/{job_id}/events").text)) == 1
    assert "it went away" in caplog.text
