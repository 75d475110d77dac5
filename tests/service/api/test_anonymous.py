"""Without a key a job is known by its id, which cannot be guessed, and by nothing else."""

import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service.redis.connection import Client
from tests.service.api.harness import GOOD, api, finish, somebody_at_work, stored_files


def test_nobody_lists_the_jobs_of_others(redis_url: str, data_dir: Path, client: Client) -> None:
    for values in ({}, {"allow_anonymous": True, "host": "0.0.0.0"}):
        with somebody_at_work(redis_url), api(redis_url, data_dir, **values) as http:
            job_id = http.post("/stylize", files=GOOD).json()["id"]
            for query in ("", "?state=queued", "?limit=1"):
                answer = http.get(f"/jobs{query}")
                assert (answer.status_code, answer.json()["type"]) == (401, "/problems/unauthorized")
                assert job_id not in answer.text
    assert client.keys("adis:mine:*") == []


def test_whoever_holds_the_id_reads_and_deletes_the_job(http: TestClient, redis_url: str, data_dir: Path) -> None:
    job_id = http.post("/stylize", files=GOOD).json()["id"]
    assert re.fullmatch(r"[0-9a-f]{32}", job_id)
    finish(redis_url, data_dir, job_id)
    for path in ("", "/events", "/results/0"):
        assert http.get(f"/jobs/{job_id}{path}").status_code == 200
    assert http.delete(f"/jobs/{job_id}").status_code == 204
    assert http.get(f"/jobs/{job_id}").status_code == 404
    assert stored_files(data_dir) == set()


def test_ids_have_nothing_in_common(http: TestClient) -> None:
    """Those of version 4 of RFC 9562, of 122 random bits."""
    ids = {http.post("/stylize", files=GOOD).json()["id"] for _ in range(20)}
    assert len(ids) == 20
    assert {(job_id[12], job_id[16] in "89ab") for job_id in ids} == {("4", True)}
    assert len({job_id[:4] for job_id in ids}) > 15


@pytest.mark.parametrize("gain_db", ["1", "-1"])
def test_an_idempotency_key_that_is_guessed_tells_no_id(http: TestClient, gain_db: str) -> None:
    headers = {"Idempotency-Key": "1"}
    job_id = http.post("/stylize", files=GOOD, headers=headers).json()["id"]
    other = http.post("/stylize", files=GOOD, data={"gain_db": gain_db}, headers=headers)
    assert (other.status_code, other.json()["type"]) == (422, "/problems/idempotency-mismatch")
    assert job_id not in other.text
