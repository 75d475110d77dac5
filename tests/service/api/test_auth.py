"""Requests need a key as soon as there is one; a job is its key's own; a key can be held to a pace."""

from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.auth.keys import ApiKeyRepository
from service.redis.connection import Client
from tests.service.api.harness import GOOD, api, finish, somebody_at_work
from tests.service.jobs.harness import with_client

PROTECTED = [
    ("POST", "/stylize"),
    ("POST", "/stylize/video"),
    ("GET", "/jobs"),
    ("GET", f"/jobs/{'0' * 32}"),
    ("GET", f"/jobs/{'0' * 32}/events"),
    ("GET", f"/jobs/{'0' * 32}/results/0"),
    ("HEAD", f"/jobs/{'0' * 32}/results/0"),
    ("DELETE", f"/jobs/{'0' * 32}"),
    ("GET", "/models"),
]
OPEN = ["/healthz", "/readyz", "/", "/video", "/static/image/page.js", "/docs", "/openapi.json"]


def create_key(url: str, **limits: Any) -> dict[str, str]:
    """The header of a new key."""
    _, token = with_client(url, lambda client: ApiKeyRepository(client).create("Ada", **limits))
    return {"Authorization": f"Bearer {token}"}


def revoke(url: str, key: dict[str, str]) -> None:
    key_id = key["Authorization"].split("_")[1]
    assert with_client(url, lambda client: ApiKeyRepository(client).revoke(key_id))


def submitted(http: TestClient, key: dict[str, str], **headers: str) -> str:
    answer = http.post("/stylize", files=GOOD, headers=key | headers)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def listed(http: TestClient, key: dict[str, str], **query: Any) -> tuple[list[str], str | None]:
    answer = http.get("/jobs", params=query, headers=key)
    assert answer.status_code == 200, answer.text
    return [job["id"] for job in answer.json()["jobs"]], answer.json()["next_cursor"]


@pytest.fixture
def two_keys(redis_url: str) -> tuple[dict[str, str], dict[str, str]]:
    return create_key(redis_url), create_key(redis_url)


def test_without_keys_nobody_is_asked(http: TestClient) -> None:
    job_id = submitted(http, {})
    assert http.get(f"/jobs/{job_id}").status_code == 200
    assert http.get("/models").status_code == 200


def test_as_soon_as_a_key_exists_every_job_route_and_the_models_need_one(http: TestClient, redis_url: str) -> None:
    job_id = submitted(http, {})
    key = create_key(redis_url)
    for method, path in PROTECTED:
        answer = http.request(method, path)
        assert answer.status_code == 401, path
        assert answer.headers["www-authenticate"] == "Bearer"
        assert http.request(method, path, headers=key).status_code != 401, path
        if method != "HEAD":
            assert answer.headers["content-type"] == "application/problem+json"
            assert "Authorization: Bearer" in answer.json()["detail"]
    assert {path: http.get(path).status_code for path in OPEN} == dict.fromkeys(OPEN, 200)
    assert http.get(f"/jobs/{job_id}", headers=key).status_code == 404  # it came while nobody was asked


def test_a_refused_upload_leaves_no_file(http: TestClient, redis_url: str, data_dir: Path) -> None:
    create_key(redis_url)
    assert http.post("/stylize", files=GOOD).status_code == 401
    assert not list((data_dir / "jobs").iterdir())


def test_a_key_is_taken_in_either_header(http: TestClient, redis_url: str) -> None:
    token = create_key(redis_url)["Authorization"].removeprefix("Bearer ")
    for headers in ({"Authorization": f"bearer {token}"}, {"X-API-Key": token}):
        assert http.get("/models", headers=headers).status_code == 200
    for wrong in ("Basic " + token, token, "Bearer", "Bearer ä", "Bearer " + token[:-1] + "x", "Bearer " + "x" * 5000):
        answer = http.get("/models", headers={"Authorization": wrong.encode("latin-1")})
        assert answer.status_code == 401, wrong
        assert answer.headers["www-authenticate"] == "Bearer"


def test_an_expired_and_a_revoked_key_are_refused(http: TestClient, redis_url: str) -> None:
    good, expired, revoked = create_key(redis_url), create_key(redis_url, lifetime_seconds=0), create_key(redis_url)
    revoke(redis_url, revoked)
    statuses = [http.get("/models", headers=key).status_code for key in (good, expired, revoked)]
    assert statuses == [200, 401, 401]


def test_revoking_the_last_key_opens_a_service_of_this_machine_alone(redis_url: str, tmp_path: Path) -> None:
    revoke(redis_url, create_key(redis_url))
    with somebody_at_work(redis_url):
        for asked, values in [
            (False, {}),
            (True, {"require_keys": True}),
            (True, {"host": "0.0.0.0"}),
            (False, {"host": "0.0.0.0", "allow_anonymous": True}),
        ]:
            with api(redis_url, tmp_path, **values) as http:
                assert (http.get("/models").status_code == 401) is asked, values


def test_anothers_job_is_not_there(http: TestClient, redis_url: str, data_dir: Path, two_keys: Any) -> None:
    mine, other = two_keys
    job_id = submitted(http, mine)
    finish(redis_url, data_dir, job_id)
    paths = [f"/jobs/{job_id}", f"/jobs/{job_id}/events", f"/jobs/{job_id}/results/0"]
    for path in paths:
        assert http.get(path, headers=mine).status_code == 200, path
        answer = http.get(path, headers=other)
        assert answer.status_code == 404, path
        assert answer.json()["type"] == "/problems/job-not-found"
    assert http.delete(f"/jobs/{job_id}", headers=other).status_code == 404
    assert http.get(paths[2], headers=mine).status_code == 200
    assert listed(http, other) == ([], None)
    assert http.delete(f"/jobs/{job_id}", headers=mine).status_code == 204
    assert http.get(paths[0], headers=mine).status_code == 404


def test_each_key_has_idempotency_keys_of_its_own(http: TestClient, two_keys: Any) -> None:
    mine, other = two_keys
    repeated = {"Idempotency-Key": "k"}
    first = submitted(http, mine, **repeated)
    assert submitted(http, other, **repeated) != first
    assert submitted(http, mine, **repeated) == first


def test_own_jobs_are_listed_newest_first_page_by_page(http: TestClient, redis_url: str, two_keys: Any) -> None:
    mine, other = two_keys
    jobs = [submitted(http, mine) for _ in range(5)][::-1]
    submitted(http, other)
    assert listed(http, mine) == (jobs, None)
    pages, cursor = [], None
    while cursor or not pages:
        page, cursor = listed(http, mine, limit=2, **({"cursor": cursor} if cursor else {}))
        pages.append(page)
    assert pages == [jobs[:2], jobs[2:4], jobs[4:]]


def test_a_page_goes_on_although_its_last_job_was_erased(
    http: TestClient, redis_url: str, data_dir: Path, two_keys: Any
) -> None:
    mine, _ = two_keys
    jobs = [submitted(http, mine) for _ in range(3)][::-1]
    (_, cursor) = listed(http, mine, limit=1)
    finish(redis_url, data_dir, jobs[0])
    http.delete(f"/jobs/{jobs[0]}", headers=mine)
    assert listed(http, mine, limit=2, cursor=cursor)[0] == jobs[1:]


def test_jobs_are_listed_by_state(http: TestClient, redis_url: str, data_dir: Path, two_keys: Any) -> None:
    mine, _ = two_keys
    jobs = [submitted(http, mine) for _ in range(3)]
    finish(redis_url, data_dir, jobs[1])
    assert listed(http, mine, state="succeeded") == ([jobs[1]], None)
    assert listed(http, mine, state="queued") == ([jobs[2], jobs[0]], None)
    assert listed(http, mine, state="queued", limit=1)[0] == [jobs[2]]


def test_jobs_that_are_gone_leave_the_list(http: TestClient, client: Client, two_keys: Any) -> None:
    mine, _ = two_keys
    gone, kept = submitted(http, mine), submitted(http, mine)
    client.delete(f"adis:job:{gone}")
    assert listed(http, mine)[0] == [kept]
    (index,) = client.keys("adis:mine:*")
    assert client.zrange(index, 0, -1) == [kept]


def test_the_list_expires_with_the_last_of_its_jobs(
    http: TestClient, redis_url: str, client: Client, data_dir: Path, two_keys: Any
) -> None:
    mine, _ = two_keys
    first, second = submitted(http, mine), submitted(http, mine)
    (index,) = client.keys("adis:mine:*")
    finish(redis_url, data_dir, first)
    assert client.ttl(index) == -1
    finish(redis_url, data_dir, second)
    assert 0 < client.ttl(index) <= 100
    submitted(http, mine)
    assert client.ttl(index) == -1


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 0},
        {"limit": 101},
        {"cursor": "x"},
        {"cursor": "1-2"},
        {"cursor": f"nan-{'0' * 32}"},
        {"state": "lost"},
    ],
)
def test_a_list_that_cannot_be_had_is_refused(http: TestClient, redis_url: str, query: dict[str, Any]) -> None:
    answer = http.get("/jobs", params=query, headers=create_key(redis_url))
    assert answer.status_code == 422
    assert answer.json()["field"] == next(iter(query))


def test_a_key_that_asks_too_often_is_told_when_to_come_back(http: TestClient, redis_url: str) -> None:
    slow, other = create_key(redis_url, requests_per_minute=2), create_key(redis_url)
    submitted(http, slow)
    submitted(http, slow)
    answer = http.post("/stylize", files=GOOD, headers=slow)
    assert answer.status_code == 429
    assert answer.json()["type"] == "/problems/too-many-requests"
    assert 1 <= int(answer.headers["retry-after"]) <= 30
    assert http.get("/jobs", headers=slow).status_code == 200  # looking is free
    submitted(http, other)


def test_a_key_has_no_more_active_jobs_than_it_may(
    http: TestClient, redis_url: str, data_dir: Path, client: Client
) -> None:
    key = create_key(redis_url, active_jobs=2)
    first, second = submitted(http, key, **{"Idempotency-Key": "k"}), submitted(http, key)
    answer = http.post("/stylize", files=GOOD, headers=key)
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1
    assert {path.name for path in (data_dir / "jobs").iterdir()} == {first, second}
    assert submitted(http, key, **{"Idempotency-Key": "k"}) == first
    finish(redis_url, data_dir, first)
    third = submitted(http, key)
    http.delete(f"/jobs/{second}", headers=key)
    submitted(http, key)
    client.delete(f"adis:job:{third}")  # a record that is gone is no active job
    submitted(http, key)


def test_limits_are_the_settings_where_a_key_has_none_of_its_own(redis_url: str, tmp_path: Path) -> None:
    common, free = create_key(redis_url), create_key(redis_url, requests_per_minute=0, active_jobs=0)
    one_a_minute = {"key_requests_per_minute": 1}
    for values, detail in [({"key_active_jobs": 1}, "1 jobs that wait"), (one_a_minute, "1 jobs a minute")]:
        with somebody_at_work(redis_url), api(redis_url, tmp_path, **values) as http:
            answers = [http.post("/stylize", files=GOOD, headers=common) for _ in range(2)]
            assert detail in answers[1].json()["detail"]
            assert [http.post("/stylize", files=GOOD, headers=free).status_code for _ in range(2)] == [202, 202]


def test_the_description_of_the_api_knows_both_ways_to_send_a_key(http: TestClient) -> None:
    document = http.get("/openapi.json").json()
    assert {scheme["type"] for scheme in document["components"]["securitySchemes"].values()} == {"http", "apiKey"}
    assert document["paths"]["/stylize"]["post"]["security"]
    assert "security" not in document["paths"]["/healthz"]["get"]
    assert {"401", "429"} <= document["paths"]["/stylize"]["post"]["responses"].keys()
