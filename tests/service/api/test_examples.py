"""GET /examples offers what the service makes itself, and jobs take it by its name."""

import json
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service.redis.connection import Client
from tests.service.api.harness import GOOD, SOUND, api, somebody_at_work


def test_every_example_is_listed_with_its_file(http: TestClient) -> None:
    listed = http.get("/examples").json()
    assert {one["usable_as"] for one in listed["images"]} == {"image_id"}
    assert {one["scene"] for one in listed["sounds"]} == {
        "snow", "rain", "storm", "summer", "autumn", "night", "desert",
    }  # fmt: skip
    (crickets,) = (one for one in listed["sounds"] if one["id"] == "example:crickets")
    answer = http.get(crickets["url"])
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "audio/mp4")
    assert answer.content[4:8] == b"ftyp"
    assert http.get(crickets["url"], headers={"Range": "bytes=4-7"}).content == b"ftyp"
    assert http.head(crickets["url"]).headers["Content-Length"] == str(len(answer.content))


@pytest.mark.parametrize("name", ["x", "crickets", "..%2Fx", "%2e%2e", "crickets.m4a/x"])
def test_no_other_file_is_served(name: str, http: TestClient) -> None:
    assert http.get(f"/examples/{name}").status_code == 404


def test_a_job_takes_examples_by_name(redis_url: str, client: Client, data_dir: Path) -> None:
    sent = {"image_id": "example:meadow", "audio_id": ["example:crickets", "example:birdsong"], "weights": "1,3"}
    with somebody_at_work(redis_url), api(redis_url, data_dir) as http:
        answer = http.post("/stylize", data=sent)
        assert answer.status_code == 202, answer.text
    job = answer.json()["id"]
    stored = json.loads(client.hget(f"adis:job:{job}", "inputs"))
    assert [one["name"] for one in stored] == ["meadow.jpg", "crickets.m4a", "birdsong.m4a"]
    for one in stored:
        assert (data_dir / "jobs" / job / "inputs" / one["sha256"]).stat().st_size == one["bytes"]


def test_a_bad_name_is_told(http: TestClient) -> None:
    unknown = http.post("/stylize", files=GOOD[1:], data={"image_id": "example:moon"}).json()
    assert (unknown["status"], unknown["type"], unknown["field"]) == (404, "/problems/example-not-found", "image_id")
    swapped = http.post("/stylize", files=GOOD[1:], data={"image_id": "example:rain"}).json()
    assert (swapped["status"], swapped["field"]) == (415, "image_id")
    assert "name it by audio_id" in swapped["detail"]
    both = http.post("/stylize", files=[("audio", ("s.wav", SOUND)), GOOD[0]], data={"image_id": "example:meadow"})
    assert both.status_code == 422
