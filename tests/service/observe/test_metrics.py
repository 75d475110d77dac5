"""GET /metrics tells what the service has done and how it is, in numbers that only few labels can have."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service.errors import MediaError
from service.observe.catalogue import COUNTED, FRAMES, RESULTS, STAGE_SECONDS
from service.observe.recorder import Recorder
from service.observe.stages import count_frames, each, measured, stage
from service.redis.connection import Client
from tests.service.api.harness import GOOD, api, finish, somebody_at_work
from tests.support.prometheus import Samples, names, samples


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def http(redis_url: str, data_dir: Path) -> Iterator[TestClient]:
    with somebody_at_work(redis_url), api(redis_url, data_dir) as client:
        yield client


def read(http: TestClient) -> Samples:
    answer = http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain")
    return samples(answer.text)


def submit(http: TestClient) -> str:
    job_id: str = http.post("/stylize", files=GOOD).json()["id"]
    return job_id


def test_jobs_are_counted_once_with_how_they_ended(http: TestClient, redis_url: str, data_dir: Path) -> None:
    good, bad, unwanted, _waiting = (submit(http) for _ in range(4))
    finish(redis_url, data_dir, good)
    finish(redis_url, data_dir, bad, problem=MediaError('a sound called "type": "/problems/x"').problem())
    http.delete(f"/jobs/{unwanted}")
    http.delete(f"/jobs/{unwanted}")
    found = read(http)
    assert found['adis_jobs_accepted_total{kind="image"}'] == 4
    ended = {name: value for name, value in found.items() if name.startswith("adis_jobs_ended_total")}
    assert ended['adis_jobs_ended_total{kind="video",reason="internal",state="failed"}'] == 0
    assert {name: value for name, value in ended.items() if value} == {
        'adis_jobs_ended_total{kind="image",reason="none",state="succeeded"}': 1,
        'adis_jobs_ended_total{kind="image",reason="damaged-media",state="failed"}': 1,
        'adis_jobs_ended_total{kind="image",reason="none",state="cancelled"}': 1,
    }


def test_the_queue_tells_its_length_and_how_long_its_oldest_job_waits(http: TestClient, client: Client) -> None:
    assert read(http)['adis_queue_oldest_seconds{queue="images"}'] == 0
    first, _ = submit(http), submit(http)
    client.zincrby("adis:queued:image", -100, first)
    found = read(http)
    assert found['adis_queue_jobs{queue="images"}'] == 2
    assert 100 <= found['adis_queue_oldest_seconds{queue="images"}'] < 400
    assert found['adis_queue_jobs{queue="videos"}'] == found['adis_queue_oldest_seconds{queue="videos"}'] == 0


def test_live_workers_are_told_with_their_last_sign(http: TestClient, redis_url: str, data_dir: Path) -> None:
    found = read(http)
    assert found['adis_workers{queue="videos",state="ready"}'] == 1
    assert found['adis_workers{queue="videos",state="loading"}'] == 0
    assert 0 <= found['adis_worker_heartbeat_age_seconds{queue="images"}'] < 15


def test_requests_are_counted_by_route_and_unknown_addresses_as_one(http: TestClient) -> None:
    for number in range(3):
        http.get(f"/jobs/{number:032x}")
        http.get(f"/nowhere/{number}")
        http.request("BREW", f"/{number}")
    found = read(http)
    counted = {name: value for name, value in found.items() if name.startswith("adis_http_requests_total")}
    assert counted == {
        'adis_http_requests_total{method="GET",route="/jobs/{job_id}",status="404"}': 3,
        'adis_http_requests_total{method="GET",route="other",status="404"}': 3,
        'adis_http_requests_total{method="other",route="other",status="404"}': 3,
    }
    assert found['adis_http_seconds_count{method="GET",route="/jobs/{job_id}"}'] == 3


def test_counts_outlive_the_api(http: TestClient, redis_url: str, data_dir: Path) -> None:
    finish(redis_url, data_dir, submit(http))
    before = read(http)
    with api(redis_url, data_dir) as other:
        after = read(other)
    for name in ("adis_jobs_accepted_total", "adis_jobs_ended_total"):
        assert {k: v for k, v in before.items() if k.startswith(name)} == {
            k: v for k, v in after.items() if k.startswith(name)
        }


def test_metrics_say_so_when_redis_is_away(data_dir: Path) -> None:
    with api("redis://127.0.0.1:9/0", data_dir) as http:
        found = read(http)
    assert found["adis_redis_up"] == 0
    assert "adis_queue_jobs" not in names(found)


def test_a_stage_is_not_charged_for_the_stages_inside_it(client: Client, redis_url: str, http: TestClient) -> None:
    recorder = Recorder(client)
    with measured(recorder, "image"), stage("outer"):
        time.sleep(0.02)
        with stage("inner", batch=3):
            time.sleep(0.05)
    recorder.add()
    found = read(http)
    outer, inner = (found[f'adis_stage_seconds_sum{{kind="image",stage="{name}"}}'] for name in ("outer", "inner"))
    assert inner >= 0.05
    assert outer >= 0.02
    whole = found['adis_stage_seconds_bucket{kind="image",le="+Inf",stage="inner"}']
    assert whole == found['adis_stage_seconds_count{kind="image",stage="inner"}'] == 1
    assert found['adis_batch_size_bucket{le="2.0",stage="inner"}'] == 0
    assert found['adis_batch_size_bucket{le="4.0",stage="inner"}'] == 1
    again = Recorder(client)
    with measured(again, "other"), stage("outer"), stage("inner"):
        time.sleep(0.1)
    again.add()
    assert float(client.hget("adis:metrics", STAGE_SECONDS.sum_field("other", "outer")) or 0) < 0.1


def test_nothing_is_measured_outside_of_a_job(client: Client) -> None:
    with stage("decode", batch=1):
        count_frames(5)
    assert list(each(iter([1, 2]), "decode")) == [1, 2]
    assert not client.exists("adis:metrics")


def test_counts_that_redis_did_not_take_are_told_later(
    client: Client, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = Recorder(client)
    recorder.count(RESULTS, "image")
    client.set("adis:metrics", "not a hash")
    recorder.add()
    assert "takes no counts" in caplog.text
    client.delete("adis:metrics")
    recorder.count(RESULTS, "image", by=2)
    recorder.count(FRAMES, by=7)
    recorder.add()
    recorder.add()
    assert client.hgetall("adis:metrics") == {"adis_results|image": "3", "adis_frames": "7"}


def test_names_and_labels_keep_prometheus_rules() -> None:
    assert len({metric.name for metric in COUNTED}) == len(COUNTED)
    with pytest.raises(ValueError, match="has the labels kind, stage"):
        STAGE_SECONDS.field_of("image")
