"""The API on an empty database, with a worker that is there and does nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.service.api.harness import GOOD, api, finish, somebody_at_work


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def http(redis_url: str, data_dir: Path) -> Iterator[TestClient]:
    with somebody_at_work(redis_url), api(redis_url, data_dir, max_gains=4, max_image_bytes=100_000) as client:
        yield client


@pytest.fixture
def job_id(http: TestClient) -> str:
    answer = http.post("/stylize", files=GOOD)
    assert answer.status_code == 202, answer.text
    identifier: str = answer.json()["id"]
    return identifier


@pytest.fixture
def done(job_id: str, redis_url: str, data_dir: Path) -> str:
    finish(redis_url, data_dir, job_id)
    return job_id
