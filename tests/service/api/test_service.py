"""The API tells how it is, describes itself, and answers every error with a problem document."""

import asyncio
import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service.api.context import Context, open_context
from service.media.confinement import describe_confinement
from service.redis.connection import Client
from tests.service.api.harness import GOOD, MODEL, api, finish, somebody_at_work, sweep_once


def test_models_tell_what_runs_them(http: TestClient) -> None:
    (model,) = http.get("/models").json()["models"]
    assert model == MODEL.model_dump(mode="json") | {"default": True, "provider": "cpu", "runtime": "onnxruntime 1"}


def test_a_living_process_says_so(http: TestClient) -> None:
    assert http.get("/healthz").json()["status"] == "ok"


def test_a_ready_service_says_what_answers(http: TestClient) -> None:
    answer = http.get("/readyz")
    assert (answer.status_code, answer.json()["checks"]) == (
        200,
        {
            "redis": "ok",
            "storage": "ok",
            "decoders": describe_confinement(),
            "worker": "1 on cpu",
            "preview worker": "1 on cpu",
            "video worker": "1 on cpu",
        },
    )


def test_a_service_without_a_worker_is_not_ready(redis_url: str, data_dir: Path) -> None:
    with api(redis_url, data_dir) as http:
        none = http.get("/readyz")
        with somebody_at_work(redis_url):
            assert http.get("/readyz").status_code == 200
        gone = http.get("/readyz")
    for answer in (none, gone):
        assert answer.status_code == 503
        assert answer.json()["detail"].startswith("worker: ")
        assert answer.json()["missing"] == ["worker"]
        assert answer.json()["checks"]["redis"] == answer.json()["checks"]["storage"] == "ok"
        assert "no worker for videos" in answer.json()["checks"]["video worker"]
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert int(answer.headers["Retry-After"]) > 0


def test_a_service_that_cannot_store_is_not_ready(http: TestClient, data_dir: Path) -> None:
    (data_dir / "trash").rename(data_dir / "gone")
    answer = http.get("/readyz")
    assert (answer.status_code, answer.json()["detail"].partition(":")[0]) == (503, "storage")
    (data_dir / "gone").rename(data_dir / "trash")


def test_however_many_ask_the_storage_is_looked_at_once_in_a_while(
    http: TestClient, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.api.storage_check._KEPT_SECONDS", 3600)
    assert http.get("/readyz").status_code == 200
    written = (data_dir / "trash").stat().st_mtime_ns
    with ThreadPoolExecutor(4) as pool:
        assert {answer.status_code for answer in pool.map(http.get, ["/readyz"] * 12)} == {200}
    assert (data_dir / "trash").stat().st_mtime_ns == written
    monkeypatch.setattr("service.api.storage_check._KEPT_SECONDS", 0)
    assert http.get("/readyz").status_code == 200
    assert (data_dir / "trash").stat().st_mtime_ns > written


def test_a_service_without_its_queue_says_which_parts_are_missing(data_dir: Path) -> None:
    with api("redis://127.0.0.1:9/0", data_dir) as http:
        answer = http.get("/readyz?kind=video")
    assert answer.status_code == 503
    assert answer.json()["missing"] == ["redis", "video worker"]
    assert answer.json()["checks"]["storage"] == "ok"


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nowhere", 404), ("GET", "/stylize", 405), ("PUT", "/models", 405)]
)
def test_what_is_not_there_is_a_problem(http: TestClient, method: str, path: str, status: int) -> None:
    answer = http.request(method, path)
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (status == 405) == ("Allow" in answer.headers)


def test_every_method_of_a_path_is_allowed_where_another_is_not(http: TestClient) -> None:
    answer = http.put(f"/jobs/{'0' * 32}")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "DELETE, GET, HEAD")


def test_a_bad_value_in_a_list_is_named_by_its_parameter(http: TestClient) -> None:
    answer = http.get("/readyz?kind=image&kind=song")
    assert (answer.status_code, answer.json()["field"]) == (422, "kind")


def test_a_fault_is_told_to_nobody(http: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr("service.api.jobs.job_document", fail)
    answer = http.post("/stylize", files=GOOD)
    assert (answer.status_code, answer.json()["type"]) == (500, "/problems/internal")
    assert "secret" not in answer.text
    assert len(answer.headers["X-Request-ID"]) == 32


def test_the_description_names_every_field_of_the_form(http: TestClient) -> None:
    description = http.get("/openapi.json").json()
    form = description["paths"]["/stylize"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert set(form["properties"]) == {
        "image", "image_id", "audio", "audio_id", "gain_db", "gains_db", "strength", "start_seconds",
            "weights", "max_side", "format",
            "metadata", "color_profile", "model",
            "webhook_url", "webhook_events",
    }  # fmt: skip
    assert {"/stylize", "/jobs/{job_id}", "/jobs/{job_id}/events", "/jobs/{job_id}/results/{index}", "/models"} <= set(
        description["paths"]
    )
    page = http.get("/docs").text
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert loaded
    assert all(address.startswith("/") for address in loaded), "nothing comes from another host"
    assert all(http.get(address).status_code == 200 for address in loaded)


def test_files_go_when_their_job_has_expired(http: TestClient, redis_url: str, data_dir: Path, client: Client) -> None:
    def folders_after_a_sweep() -> set[str]:
        async def run() -> None:
            async with open_context(context.settings, redis_url) as own:
                await sweep_once(own)

        asyncio.run(run())
        return {folder.name for folder in (data_dir / "jobs").iterdir()}

    context: Context = http.app.state.context  # type: ignore[attr-defined]
    expired, active = (http.post("/stylize", files=GOOD).json()["id"] for _ in range(2))
    finish(redis_url, data_dir, expired)
    long_ago = time.time() - 10 * context.settings.result_ttl_seconds
    for job_id in (expired, active):
        for path in ((data_dir / "jobs" / job_id), *(data_dir / "jobs" / job_id).rglob("*")):
            os.utime(path, (long_ago, long_ago))
    assert folders_after_a_sweep() == {expired, active}  # both have a record
    client.delete(f"adis:job:{expired}")
    assert folders_after_a_sweep() == {active}
