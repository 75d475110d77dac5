"""The running service is seen from outside: metrics, a trace through its processes, log lines for machines."""

import json
import re
import struct
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import numpy as np
import pytest

from tests.end_to_end.conftest import CLIENT_SECONDS
from tests.support.hostile import png_chunk
from tests.support.media import make_noise
from tests.support.otlp import Collector, ReceivedSpan, running_collector
from tests.support.processes import until
from tests.support.prometheus import Samples, names, samples
from tests.support.running_service import ROOT, RunningService, running_service
from tests.support.video import Clip, write_video

STAGES = {"model", "decode", "stylize", "audio", "content", "decoder", "encode", "store"}
MONITORING = [*(ROOT / "docker/grafana/dashboards").glob("*.json"), ROOT / "docker/alerts.yml"]


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with running_collector() as running:
        yield running


@pytest.fixture(scope="module")
def observed(
    tmp_path_factory: pytest.TempPathFactory, models_dir: Path, collector: Collector
) -> Iterator[RunningService]:
    """A service that logs JSON and sends its traces."""
    settings = {"default_model": "tiny", "log_format": "json", "otlp_endpoint": collector.address}
    with running_service(tmp_path_factory.mktemp("observed") / "data", models_dir, **settings) as running:
        yield running


@pytest.fixture(scope="module")
def http(observed: RunningService) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=observed.address, timeout=CLIENT_SECONDS) as client:
        yield client


def stylize(http: httpx.Client, image: bytes, audio: bytes, **headers: str) -> httpx.Response:
    files = {"image": image, "audio": audio}
    return http.post("/stylize", files=files, headers={"Prefer": "wait=60", **headers})


def metrics_with(http: httpx.Client, name: str, value: float = 1) -> Samples:
    """The metrics, as soon as this one has that value: workers tell theirs just after the answer has gone out."""

    def look() -> Samples | None:
        found = samples(http.get("/metrics").raise_for_status().text)
        return found if found.get(name, 0) >= value else None

    return until(look)


def lines(service: RunningService) -> list[dict[str, Any]]:
    """The log's JSON lines."""
    return [json.loads(line) for line in service.log.read_text().splitlines() if line.startswith("{")]


def test_one_image_shows_in_the_metrics_with_every_stage(http: httpx.Client, photo: bytes, rain: bytes) -> None:
    job = stylize(http, photo, rain).raise_for_status().json()
    assert job["state"] == "succeeded"
    found = metrics_with(http, 'adis_results_total{kind="image"}')
    assert found['adis_jobs_ended_total{kind="image",reason="none",state="succeeded"}'] >= 1
    sums = {stage: found[f'adis_stage_seconds_sum{{kind="image",stage="{stage}"}}'] for stage in STAGES}
    assert all(seconds > 0 for seconds in sums.values())
    assert sum(sums.values()) <= found['adis_job_work_seconds_sum{kind="image"}']
    assert found['adis_batch_size_sum{stage="decoder"}'] == found['adis_batch_size_count{stage="decoder"}']
    assert found['adis_workers{queue="images",state="ready"}'] == 1


def test_the_frames_of_a_video_are_counted(http: httpx.Client, tmp_path: Path) -> None:
    video = write_video(tmp_path / "clip.mp4", Clip(), np.stack([make_noise(2.0, sample_rate_hz=48_000)] * 2))
    answer = http.post("/stylize/video", files={"video": video.read_bytes()}, headers={"Prefer": "wait=60"})
    job = answer.raise_for_status().json()
    assert job["state"] == "succeeded", job
    found = metrics_with(http, 'adis_results_total{kind="video"}')
    assert found["adis_frames_total"] == job["progress"]["total"]
    assert found['adis_stage_seconds_count{kind="video",stage="encode"}'] == job["progress"]["total"]


def test_a_trace_goes_from_the_client_through_the_api_to_the_stages_of_the_worker(
    http: httpx.Client, collector: Collector, photo: bytes, rain: bytes
) -> None:
    trace, client_span = uuid.uuid4().hex, uuid.uuid4().hex[:16]
    job = stylize(http, photo, rain, traceparent=f"00-{trace}-{client_span}-01").raise_for_status().json()

    def look() -> list[ReceivedSpan] | None:
        arrived = collector.trace(trace)
        return arrived if {"POST /stylize", "job image"} <= {span.name for span in arrived} else None

    spans = until(look)
    by_name = {span.name: span for span in spans}
    request, work = by_name["POST /stylize"], by_name["job image"]
    assert (request.service, request.parent) == ("adis-api", client_span)
    assert (request.attributes["http.route"], request.attributes["http.response.status_code"]) == ("/stylize", "200")
    assert (work.service, work.parent) == ("adis-worker", request.id)
    assert work.attributes["adis.job.id"] == job["id"]
    for name in ("model", "decode", "stylize", "encode"):
        assert by_name[name].parent == work.id
    stylize_spans = {span.id for span in spans if span.name == "stylize"}
    assert {by_name[name].parent for name in ("audio", "content", "decoder")} <= stylize_spans
    assert by_name["store"].parent == by_name["encode"].id
    assert not any(span.failed for span in spans)


def test_a_failed_job_is_a_failed_span(http: httpx.Client, collector: Collector, rain: bytes) -> None:
    trace = uuid.uuid4().hex
    job = stylize(http, damaged_photo(), rain, traceparent=f"00-{trace}-{'1' * 16}-01").json()
    assert job["state"] == "failed", job
    reason = job["error"]["type"].removeprefix("/problems/")
    (work,) = until(lambda: [span for span in collector.trace(trace) if span.name == "job image"] or None)
    assert work.failed
    found = metrics_with(http, f'adis_jobs_ended_total{{kind="image",reason="{reason}",state="failed"}}')
    assert found


def test_log_lines_of_every_process_carry_the_request_the_job_and_the_trace(
    observed: RunningService, http: httpx.Client, photo: bytes, rain: bytes
) -> None:
    trace = uuid.uuid4().hex
    answer = stylize(http, photo, rain, traceparent=f"00-{trace}-{'1' * 16}-01", **{"X-Request-ID": "order-7.b"})
    assert answer.headers["X-Request-ID"] == "order-7.b"

    def look() -> dict[str, dict[str, Any]] | None:
        mine = {line["logger"]: line for line in lines(observed) if line.get("request_id") == "order-7.b"}
        return mine if {"service.access", "service.work.job_runner"} <= set(mine) else None

    mine = until(look)
    for line in mine.values():
        assert (line["job_id"], line["trace_id"], line["level"]) == (answer.json()["id"], trace, "info")
        assert {"time", "message"} <= set(line)
    assert mine["service.access"]["route"] == "/stylize"
    others = [line for line in observed.log.read_text().splitlines() if not line.startswith("{")]
    assert [line for line in others if "is ready: http" not in line] == []


@pytest.mark.parametrize("given", ["", "two words", "a" * 129, "-start", 'quote"'])
def test_an_id_that_cannot_stand_in_a_log_is_replaced(http: httpx.Client, given: str) -> None:
    answer = http.get("/healthz", headers={"X-Request-ID": given})
    assert answer.headers["X-Request-ID"] != given
    assert uuid.UUID(hex=answer.headers["X-Request-ID"])


def damaged_photo() -> bytes:
    """A PNG whose chunks are whole and whose rows are not: the API takes it, the worker meets the damage."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 48, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", bytes(range(200))) + png_chunk(b"IEND", b"")


def test_every_metric_that_a_dashboard_or_an_alert_names_is_there(
    http: httpx.Client, photo: bytes, rain: bytes
) -> None:
    stylize(http, photo, rain).raise_for_status()
    metrics_with(http, 'adis_results_total{kind="image"}')
    there = names(samples(http.get("/metrics").text))
    queries = [expression for file in MONITORING for expression in expressions(file)]
    assert len(queries) > 15
    wanted = {name for query in queries for name in re.findall(r"\b(?:adis|process)_\w+", query)}
    assert wanted <= there


def expressions(file: Path) -> list[str]:
    """The PromQL of a dashboard or a file of rules."""
    if file.suffix == ".json":
        panels = json.loads(file.read_text())["panels"]
        return [target["expr"] for panel in panels for target in panel["targets"]]
    return re.findall(r"^ *expr: (.*)$", file.read_text(), re.MULTILINE)
