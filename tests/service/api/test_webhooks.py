"""A webhook is asked for in the form that hands a job in, and seen in the job; what cannot be sent to is refused."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.service.api.harness import GOOD, api, finish, somebody_at_work, stored_files
from tests.support.processes import until
from tests.support.receiver import SECRET, Receiver, running_receiver

OPEN: dict[str, Any] = {
    "webhook_secret": SECRET,
    "webhook_allow_http": True,
    "webhook_private_networks": "127.0.0.0/8",
}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as running:
        yield running


@pytest.fixture
def hooked(redis_url: str, data_dir: Path) -> Iterator[TestClient]:
    with somebody_at_work(redis_url), api(redis_url, data_dir, **OPEN) as client:
        yield client


def hand_in(http: TestClient, **data: str) -> dict[str, Any]:
    answer = http.post("/stylize", files=GOOD, data=data)
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    return job


def test_the_end_of_a_job_is_posted_and_the_job_says_so(
    hooked: TestClient, receiver: Receiver, redis_url: str, data_dir: Path
) -> None:
    job = hand_in(hooked, webhook_url=f"{receiver.address}/hook")
    assert job["webhook"] == {"state": "waiting", "attempts": 0, "last_status": None}
    finish(redis_url, data_dir, job["id"])
    delivered = {"state": "delivered", "attempts": 1, "last_status": 204}
    job = until(lambda: seen if (seen := hooked.get(job["url"]).json())["webhook"] == delivered else None)
    (post,) = receiver.posts
    told = {name: value for name, value in job.items() if name != "webhook"}
    assert post.verified() == {"type": "job.succeeded", "timestamp": job["finished_at"], "data": told}


def test_a_cancelled_job_is_told_too(hooked: TestClient, receiver: Receiver) -> None:
    job = hand_in(hooked, webhook_url=receiver.address)
    assert hooked.delete(job["url"]).status_code == 204
    until(lambda: receiver.posts or None)
    assert receiver.posts[0].verified()["type"] == "job.cancelled"


def test_only_the_ends_that_were_asked_for_are_told(
    hooked: TestClient, receiver: Receiver, redis_url: str, data_dir: Path
) -> None:
    job = hand_in(hooked, webhook_url=receiver.address, webhook_events="job.failed, job.cancelled")
    finish(redis_url, data_dir, job["id"])
    assert hooked.get(job["url"]).json()["webhook"]["state"] == "unwanted"


def test_a_job_without_a_webhook_says_so(hooked: TestClient) -> None:
    assert hand_in(hooked)["webhook"] is None


def test_a_webhook_that_cannot_be_is_refused_with_its_reason(hooked: TestClient, data_dir: Path) -> None:
    answer = hooked.post("/stylize", files=GOOD, data={"webhook_url": "https://10.0.0.1/"})
    assert (answer.status_code, answer.json()["field"]) == (422, "webhook_url"), answer.text
    assert "not a public address" in answer.json()["detail"]
    assert stored_files(data_dir) == set()


def test_without_a_secret_no_webhook_is_taken(http: TestClient) -> None:
    answer = http.post("/stylize", files=GOOD, data={"webhook_url": "https://example.com/"})
    assert (answer.status_code, answer.json()["field"]) == (422, "webhook_url")
    assert "ADIS_WEBHOOK_SECRET" in answer.json()["detail"]


def test_another_webhook_is_another_request(hooked: TestClient) -> None:
    headers = {"Idempotency-Key": "once"}
    answers = [
        hooked.post(
            "/stylize", files=GOOD, headers=headers, data={"webhook_url": f"https://{host}.example/"}
        ).status_code
        for host in ("a", "a", "b")
    ]
    assert answers == [202, 202, 422]
