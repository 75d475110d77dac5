"""What answers tell browsers, and which origins' pages may call."""

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service.auth.keys import ApiKeyRepository
from tests.service.api.harness import GOOD, PHOTO, api, finish
from tests.service.api.test_auth import create_key


def test_every_answer_forbids_sniffing_framing_and_referrers(http: TestClient, redis_url: str, data_dir: Path) -> None:
    job_id = http.post("/stylize", files=GOOD).json()["id"]
    finish(redis_url, data_dir, job_id)
    paths = ["/", "/static/image/page.js", "/docs", "/healthz", "/models", "/nowhere", f"/jobs/{job_id}/results/0"]
    for path in [*paths, f"/jobs/{job_id}/events"]:
        answer = http.get(path)
        assert answer.headers["x-content-type-options"] == "nosniff", path
        assert answer.headers["referrer-policy"] == "no-referrer", path
        assert answer.headers["content-security-policy"].count("frame-ancestors 'none'") == 1, path


def test_a_fault_is_answered_with_the_same_headers(http: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ApiKeyRepository, "look_up", None)
    answer = http.get("/models")
    assert answer.status_code == 500
    assert answer.headers["x-content-type-options"] == "nosniff"


ORIGIN = {"Origin": "https://example.org"}
PREFLIGHT = ORIGIN | {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}


def test_other_origins_may_not_call_unless_they_are_named(redis_url: str, tmp_path: Path) -> None:
    with api(redis_url, tmp_path) as http:
        assert "access-control-allow-origin" not in http.get("/healthz", headers=ORIGIN).headers
        assert http.options("/stylize", headers=PREFLIGHT).status_code == 405
    with api(redis_url, tmp_path, cors_origins=["https://example.com"]) as http:
        assert "access-control-allow-origin" not in http.get("/healthz", headers=ORIGIN).headers
        assert http.options("/stylize", headers=PREFLIGHT).status_code == 400


def test_a_named_origin_may_call_with_a_key_and_reads_errors_too(redis_url: str, tmp_path: Path) -> None:
    create_key(redis_url)
    with api(redis_url, tmp_path, cors_origins="https://example.com, https://example.org") as http:
        allowed = http.options("/stylize", headers=PREFLIGHT)
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == ORIGIN["Origin"]
        assert "Authorization" in allowed.headers["access-control-allow-headers"]
        refused = http.post("/stylize", files={"image": PHOTO}, headers=ORIGIN)
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == ORIGIN["Origin"]
        assert "access-control-allow-credentials" not in refused.headers
