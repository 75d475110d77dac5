"""A Redis that has reached its maxmemory takes no new jobs; everything else goes on."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.auth.keys import ApiKeyRepository
from service.redis.connection import Client
from service.webhooks.deliverer import LEASE_SECONDS, MAX_ATTEMPTS
from service.webhooks.schedule import Delivery, Schedule
from tests.service.api.harness import GOOD, PHOTO, RESULT, SOUND, finish, stored_files
from tests.service.jobs.harness import with_client
from tests.support.valkey import full


@pytest.fixture
def ended(http: TestClient, redis_url: str, data_dir: Path) -> str:
    """The id of a job that has succeeded."""
    job_id: str = http.post("/stylize", files=GOOD).json()["id"]
    finish(redis_url, data_dir, job_id)
    return job_id


@contextmanager
def full_for_every_server(client: Client) -> Iterator[None]:
    """Full, and without any MULTI: a full Redis refuses every command in it, where Valkey lets questions through."""

    def transactions() -> int:
        return int(client.info("commandstats").get("cmdstat_multi", {"calls": 0})["calls"])

    before = transactions()
    with full(client):
        yield
    assert transactions() == before


def test_what_is_there_can_be_read(http: TestClient, client: Client, ended: str) -> None:
    with full_for_every_server(client):
        assert http.get(f"/jobs/{ended}").json()["state"] == "succeeded"
        assert http.get(f"/jobs/{ended}/results/0").content == RESULT
        assert http.get(f"/jobs/{ended}/events").text.count('"state":"succeeded"') == 1
        assert http.get("/models").json()["models"][0]["name"] == "demo"
        assert "adis_redis_up 1.0" in http.get("/metrics").text


def test_a_keys_jobs_are_listed_read_fetched_and_deleted(
    http: TestClient, client: Client, redis_url: str, data_dir: Path
) -> None:
    _, token = with_client(redis_url, lambda one: ApiKeyRepository(one).create("Ada"))
    key = {"Authorization": f"Bearer {token}"}
    first, second, third = (http.post("/stylize", files=GOOD, headers=key).json()["id"] for _ in range(3))
    finish(redis_url, data_dir, second)
    client.delete(f"adis:job:{first}")  # which is to leave the list
    with full_for_every_server(client):
        page = http.get("/jobs?limit=1", headers=key).json()
        assert [job["id"] for job in page["jobs"]] == [third]
        rest = http.get("/jobs", params={"cursor": page["next_cursor"]}, headers=key).json()
        assert ([job["id"] for job in rest["jobs"]], rest["next_cursor"]) == ([second], None)
        done = http.get("/jobs?state=succeeded", headers=key).json()["jobs"]
        assert [job["id"] for job in done] == [second]
        assert http.get(f"/jobs/{second}", headers=key).json()["state"] == "succeeded"
        assert http.get(f"/jobs/{second}/results/0", headers=key).content == RESULT
        assert http.get(f"/jobs/{second}", headers={"X-API-Key": "adis_wrong"}).status_code == 401
        assert [http.delete(f"/jobs/{one}", headers=key).status_code for one in (second, third)] == [204, 204]
        left = http.get("/jobs", headers=key).json()["jobs"]
        assert [(job["id"], job["state"]) for job in left] == [(third, "cancelled")]
    assert client.zcard(client.keys("adis:mine:*")[0]) == 1


def test_the_service_is_ready_and_says_what_it_does_not_take(http: TestClient, client: Client) -> None:
    with full_for_every_server(client):
        answer = http.get("/readyz")
    assert answer.status_code == 200
    assert "no new jobs are taken" in answer.json()["checks"]["redis"]
    assert http.get("/readyz").json()["checks"]["redis"] == "ok"


def test_jobs_can_be_deleted(http: TestClient, client: Client, ended: str, data_dir: Path) -> None:
    waiting = http.post("/stylize", files=GOOD).json()["id"]
    with full_for_every_server(client):
        assert [http.delete(f"/jobs/{job_id}").status_code for job_id in (waiting, ended)] == [204, 204]
        assert http.get(f"/jobs/{waiting}").json()["state"] == "cancelled"
        assert http.get(f"/jobs/{ended}").status_code == 404
    assert stored_files(data_dir) == set()


def test_a_new_job_is_refused_with_the_reason_and_leaves_nothing(
    http: TestClient, client: Client, data_dir: Path
) -> None:
    with full(client):
        answer = http.post("/stylize", files=GOOD)
    assert answer.status_code == 503
    assert "Redis is full" in answer.json()["detail"]
    assert int(answer.headers["Retry-After"]) > 0
    assert stored_files(data_dir) == set()
    assert http.post("/stylize", files=GOOD).status_code == 202


def test_uploads_can_be_looked_up_and_deleted_and_not_added(http: TestClient, client: Client, data_dir: Path) -> None:
    kept = http.post("/uploads", files=[("file", ("photo.png", PHOTO))]).json()["id"]
    with full(client):
        refused = http.post("/uploads", files=[("file", ("rain.wav", SOUND))])
        assert (refused.status_code, "Redis is full" in refused.json()["detail"]) == (503, True)
        assert http.get(f"/uploads/{kept}").status_code == 200
        assert http.delete(f"/uploads/{kept}").status_code == 204
    assert stored_files(data_dir) == set()


def test_a_job_that_a_worker_has_ends(http: TestClient, client: Client, redis_url: str, data_dir: Path) -> None:
    waiting = [http.post("/stylize", files=GOOD).json()["id"] for _ in range(2)]
    problem: dict[str, Any] = {"type": "/problems/internal", "title": "", "status": 500, "detail": ""}
    with full(client):
        finish(redis_url, data_dir, waiting[0])
        finish(redis_url, data_dir, waiting[1], problem)
        assert [http.get(f"/jobs/{job_id}").json()["state"] for job_id in waiting] == ["succeeded", "failed"]


def test_a_webhook_is_delivered(client: Client, redis_url: str) -> None:
    client.hset("adis:job:j", mapping={"webhook_state": "pending", "webhook_attempts": 0})
    client.zadd("adis:webhooks", {"j": 1})
    with full(client):
        taken = with_client(redis_url, lambda one: Schedule(one, LEASE_SECONDS, MAX_ATTEMPTS).take())
    assert taken == Delivery("j", 1)
