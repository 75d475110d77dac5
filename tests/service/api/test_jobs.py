"""A job can be looked at, waited for, followed, fetched and deleted."""

import hashlib
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service.redis.connection import Client
from tests.service.api.harness import GOOD, HEARD, RESULT, events_of, finish, somebody_finishing

TAG = f'"{hashlib.sha256(RESULT).hexdigest()}"'
PROBLEM = {"type": "/problems/damaged-media", "title": "T", "status": 422, "detail": "damaged", "field": "image"}


def test_a_finished_job_tells_all_that_the_contract_names(http: TestClient, done: str) -> None:
    job = http.get(f"/jobs/{done}").json()
    assert job["state"] == "succeeded"
    assert job["progress"] == {"done": 1, "total": 1, "unit": "results"}
    assert job["created_at"] <= job["started_at"] <= job["finished_at"] < job["expires_at"]
    assert job["warnings"] == HEARD["warnings"]
    assert job["error"] is None
    (result,) = job["results"]
    assert result["url"] == f"/jobs/{done}/results/0"
    assert (result["sha256"], result["bytes"], result["media_type"]) == (TAG.strip('"'), 100, "image/png")
    assert result["heard"] == HEARD
    assert job["receipt"] == result["receipt"] == {"model": "demo", "gain_db": 0.0}
    assert job["seconds"]["decode"] == 0.25
    assert job["seconds"]["queued"] >= 0


def test_a_sweep_has_a_receipt_in_each_result(http: TestClient, redis_url: str, data_dir: Path) -> None:
    with somebody_finishing(redis_url, data_dir):
        answer = http.post("/stylize", files=GOOD, data={"gains_db": "-6,0"}, headers={"Prefer": "wait=60"})
    job = answer.json()
    assert (answer.status_code, answer.headers["Preference-Applied"]) == (200, "wait=60")
    assert [result["url"] for result in job["results"]] == [f"{job['url']}/results/{index}" for index in (0, 1)]
    assert job["receipt"] is None


def test_a_failed_job_tells_its_problem(http: TestClient, job_id: str, redis_url: str, data_dir: Path) -> None:
    finish(redis_url, data_dir, job_id, PROBLEM)
    job = http.get(f"/jobs/{job_id}").json()
    assert (job["state"], job["error"], job["results"]) == ("failed", PROBLEM, [])


def test_one_who_wants_an_image_gets_the_image(http: TestClient, redis_url: str, data_dir: Path) -> None:
    with somebody_finishing(redis_url, data_dir):
        answer = http.post("/stylize", files=GOOD, headers={"Accept": "image/*"})
    assert (answer.status_code, answer.headers["Content-Type"], answer.content) == (200, "image/png", RESULT)
    assert answer.headers["ETag"] == TAG
    assert answer.headers["Content-Location"] == answer.headers["Location"] + "/results/0"
    assert http.get(answer.headers["Location"]).json()["state"] == "succeeded"


def test_one_who_wants_an_image_of_several_gets_the_job(http: TestClient, redis_url: str, data_dir: Path) -> None:
    with somebody_finishing(redis_url, data_dir):
        answer = http.post("/stylize", files=GOOD, data={"gains_db": "-6,0"}, headers={"Accept": "image/png"})
    assert (answer.status_code, len(answer.json()["results"])) == (200, 2)


def test_one_who_wants_an_image_gets_the_problem_of_a_failed_job(
    http: TestClient, redis_url: str, data_dir: Path
) -> None:
    with somebody_finishing(redis_url, data_dir, PROBLEM):
        image = http.post("/stylize", files=GOOD, headers={"Accept": "image/png"})
        job = http.post("/stylize", files=GOOD, headers={"Prefer": "wait=60"})
    assert (image.status_code, image.headers["Content-Type"]) == (422, "application/problem+json")
    assert image.json() == PROBLEM
    assert (job.status_code, job.json()["state"], job.json()["error"]) == (200, "failed", PROBLEM)


@pytest.mark.parametrize(
    "headers", [{}, {"Prefer": "wait=0"}, {"Prefer": "wait=1"}, {"Accept": "image/png, */*", "Prefer": "wait=1"}]
)
def test_when_time_is_up_the_answer_is_the_job(http: TestClient, headers: dict[str, str]) -> None:
    answer = http.post("/stylize", files=GOOD, headers=headers)
    assert (answer.status_code, answer.json()["state"]) == (202, "queued")
    assert answer.headers["Location"] == answer.json()["url"]


@pytest.mark.parametrize("path", ["jobs/{}", "jobs/{}/events", "jobs/{}/results/0"])
@pytest.mark.parametrize("unknown", ["0" * 32, "nonsense", "..%2f..%2fetc", "%00", "A" * 32])
def test_an_unknown_job_is_a_problem(http: TestClient, path: str, unknown: str) -> None:
    answer = http.get("/" + path.format(unknown))
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_an_unknown_job_cannot_be_deleted(http: TestClient) -> None:
    for unknown in ("0" * 32, "nonsense"):
        answer = http.delete(f"/jobs/{unknown}")
        assert (answer.status_code, answer.json()["type"]) == (404, "/problems/job-not-found")


# ---- results


def test_a_result_has_a_type_and_a_tag(http: TestClient, done: str) -> None:
    answer = http.get(f"/jobs/{done}/results/0")
    assert (answer.status_code, answer.content) == (200, RESULT)
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.headers["ETag"] == TAG
    assert answer.headers["Content-Disposition"] == 'inline; filename="photo-rain+0dB.png"'
    head = http.head(f"/jobs/{done}/results/0")
    assert (head.status_code, head.content, head.headers["Content-Length"]) == (200, b"", "100")


@pytest.mark.parametrize("tags", [TAG, f'"other", W/{TAG}', "*"])
def test_a_known_result_is_not_sent_again(http: TestClient, done: str, tags: str) -> None:
    answer = http.get(f"/jobs/{done}/results/0", headers={"If-None-Match": tags})
    assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", TAG)


@pytest.mark.parametrize(
    ("range_header", "status", "content", "content_range"),
    [
        ("bytes=10-19", 206, RESULT[10:20], "bytes 10-19/100"),
        ("bytes=90-", 206, RESULT[90:], "bytes 90-99/100"),
        ("bytes=-5", 206, RESULT[-5:], "bytes 95-99/100"),
        ("bytes=50-5000", 206, RESULT[50:], "bytes 50-99/100"),
        ("bytes=-5000", 206, RESULT, "bytes 0-99/100"),
        ("bytes=5-1", 200, RESULT, None),
        ("bytes=-", 200, RESULT, None),
        ("bytes=0-1,5-6", 200, RESULT, None),
        ("pages=1-2", 200, RESULT, None),
        ("nonsense", 200, RESULT, None),
        ("bytes=\u00b2-", 200, RESULT, None),
        (f"bytes={'9' * 5000}-", 200, RESULT, None),
        (f"bytes=1-{'9' * 5000}", 200, RESULT, None),
        (f"bytes=-{'9' * 5000}", 200, RESULT, None),
        ("bytes=0-" + ",0-" * 10_000, 200, RESULT, None),
    ],
)
def test_a_range_of_a_result_is_sent(
    http: TestClient, done: str, range_header: str, status: int, content: bytes, content_range: str | None
) -> None:
    answer = http.get(f"/jobs/{done}/results/0", headers={"Range": range_header.encode("latin-1")})
    assert (answer.status_code, answer.content) == (status, content)
    assert answer.headers.get("Content-Range") == content_range


@pytest.mark.parametrize("range_header", ["bytes=100-", "bytes=5000-6000", "bytes=-0"])
def test_a_range_beyond_a_result_is_a_problem(http: TestClient, done: str, range_header: str) -> None:
    answer = http.get(f"/jobs/{done}/results/0", headers={"Range": range_header})
    assert (answer.status_code, answer.json()["type"]) == (416, "/problems/range-not-satisfiable")
    assert answer.headers["Content-Range"] == "bytes */100"


def test_a_range_of_another_version_is_the_whole(http: TestClient, done: str) -> None:
    headers = {"Range": "bytes=0-9"}
    assert http.get(f"/jobs/{done}/results/0", headers=headers | {"If-Range": TAG}).status_code == 206
    assert http.get(f"/jobs/{done}/results/0", headers=headers | {"If-Range": '"old"'}).status_code == 200


@pytest.mark.parametrize("index", ["1", "-1", "99999999999999999999", "9" * 5000, "first", "%C2%B2"])
def test_a_result_that_is_not_there_is_a_problem(http: TestClient, done: str, index: str) -> None:
    answer = http.get(f"/jobs/{done}/results/{index}")
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/result-not-found")


def test_a_result_that_is_not_there_yet_is_a_problem_that_says_so(http: TestClient, job_id: str) -> None:
    answer = http.get(f"/jobs/{job_id}/results/0")
    assert answer.status_code == 404
    assert "queued" in answer.json()["detail"]


def test_head_is_answered_wherever_get_is(http: TestClient, done: str) -> None:
    upload = http.post("/uploads", files={"file": GOOD[1][1]}).json()["id"]
    example = http.get("/examples").json()["sounds"][0]["file_name"]
    named = {"job_id": done, "index": 0, "upload_id": upload, "file_name": example}
    described = http.get("/openapi.json").json()["paths"]
    paths = [path.format(**named) for path, operations in described.items() if "get" in operations]
    for path in [*paths, "/", "/video", "/static/image/page.js", "/docs", "/openapi.json"]:
        head = http.head(path)
        assert (head.status_code, path) == (401 if path == "/jobs" else 200, path)  # a list is for keys alone
        if not path.endswith("/events"):
            assert head.headers["Content-Type"] == http.get(path).headers["Content-Type"]
    assert http.head("/stylize").status_code == 405
    assert http.head(f"/jobs/{'0' * 32}").status_code == 404


# ---- deletion


def test_deleting_a_finished_job_erases_everything_of_it(http: TestClient, done: str, data_dir: Path) -> None:
    assert http.delete(f"/jobs/{done}").status_code == 204
    assert http.get(f"/jobs/{done}").status_code == 404
    assert http.get(f"/jobs/{done}/results/0").status_code == 404
    assert [path for path in data_dir.rglob("*") if path.is_file()] == []
    assert http.delete(f"/jobs/{done}").status_code == 404


def test_deleting_a_queued_job_cancels_it_and_erases_its_files(http: TestClient, job_id: str, data_dir: Path) -> None:
    assert http.delete(f"/jobs/{job_id}").status_code == 204
    assert http.get(f"/jobs/{job_id}").json()["state"] == "cancelled"
    assert [path for path in data_dir.rglob("*") if path.is_file()] == []
    events = events_of(http.get(f"/jobs/{job_id}/events").text)
    assert [event["data"]["state"] for event in events] == ["queued", "cancelled"]


def test_a_waiting_job_says_when_it_will_probably_be_done(http: TestClient, client: Client, job_id: str) -> None:
    assert http.get(f"/jobs/{job_id}").json()["estimated_seconds"] is None  # nobody knows yet
    client.hset("adis:pace", "image", 40)
    answer = http.post("/stylize", files=GOOD, data={"gains_db": "-6,0"})
    assert (answer.json()["estimated_seconds"], answer.headers["Retry-After"]) == (40 + 80, "120")
    assert http.get(f"/jobs/{job_id}").json()["estimated_seconds"] == 40


def test_a_waiting_job_says_how_many_are_before_it(
    http: TestClient, redis_url: str, data_dir: Path, job_id: str
) -> None:
    second = http.post("/stylize", files=GOOD).json()
    assert http.get(f"/jobs/{job_id}").json()["jobs_ahead"] == 0
    assert http.get(second["url"]).json()["jobs_ahead"] == 1
    finish(redis_url, data_dir, job_id)
    assert http.get(f"/jobs/{job_id}").json()["jobs_ahead"] is None
    assert http.get(second["url"]).json()["jobs_ahead"] == 0


def test_more_workers_are_sooner_done(
    http: TestClient, client: Client, redis_url: str, data_dir: Path, job_id: str
) -> None:
    client.hset("adis:pace", "image", 40)
    client.hset("adis:worker:w", "processes", 4)
    second = http.post("/stylize", files=GOOD).json()
    assert second["estimated_seconds"] == 40 / 4 + 40
    finish(redis_url, data_dir, second["id"])
    assert http.get(second["url"]).json()["estimated_seconds"] is None
