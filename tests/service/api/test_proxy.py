"""Behind a proxy with a path of its own every address that the API gives begins with that path."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from pydantic import ValidationError

from service.api.app import create_app
from tests.service.api.harness import GOOD, RESULT, finish, settings, somebody_at_work

ADDRESS = "http://127.0.0.1:8000"
FORWARDED = {"X-Forwarded-Prefix": "/adis", "X-Forwarded-Host": "example.org", "X-Forwarded-Proto": "https"}


@pytest.fixture
def worker(redis_url: str) -> Iterator[None]:
    with somebody_at_work(redis_url):
        yield


def behind_proxy(redis_url: str, data_dir: Path, peer: str = "127.0.0.1", **values: str) -> TestClient:
    """The API as a client at `peer` reaches it."""
    app = create_app(settings(data_dir, **values), redis_url)
    return TestClient(app, ADDRESS, client=(peer, 1), raise_server_exceptions=False, follow_redirects=False)


def check_addresses(http: TestClient, redis_url: str, data_dir: Path, sent: str, shown: str) -> None:
    """sent: what our paths begin with when the proxy passes them on. shown: what clients see."""
    job = http.post(f"{sent}/stylize", files=GOOD)
    assert job.headers["Location"] == job.json()["url"] == f"{shown}/jobs/{job.json()['id']}"
    finish(redis_url, data_dir, job.json()["id"])
    own = f"{sent}/jobs/{job.json()['id']}"
    assert http.get(own).json()["results"][0]["url"] == f"{job.json()['url']}/results/0"
    result = http.get(f"{own}/results/0")
    assert (result.content, result.headers["Content-Location"]) == (RESULT, f"{job.json()['url']}/results/0")
    loaded = re.findall(r'(?:src|href)="(/[^"]+)"', http.get(f"{sent}/docs").text)
    assert loaded
    assert all(address.startswith(f"{shown}/") for address in loaded)
    assert f"url: '{shown}/openapi.json'" in http.get(f"{sent}/docs").text
    assert http.get(f"{sent}/openapi.json").json()["servers"] == [{"url": shown}]
    assert http.get(f"{sent}/").status_code == 200
    assert http.get(f"{sent}/nowhere").json()["detail"].startswith(f"there is nothing at {shown}/nowhere; {shown}/docs")
    assert http.put(f"{sent}/models").headers["Allow"] == "GET, HEAD"


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("sent", ["", "/adis"])
def test_the_root_path_is_a_setting(redis_url: str, data_dir: Path, sent: str) -> None:
    with behind_proxy(redis_url, data_dir, root_path="/adis") as http:
        check_addresses(http, redis_url, data_dir, sent, "/adis")


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("prefix", ["/adis", "/jobs", "/a/b/"])
def test_a_trusted_proxy_names_the_path(redis_url: str, data_dir: Path, prefix: str) -> None:
    with behind_proxy(redis_url, data_dir) as http:
        http.headers.update({"X-Forwarded-Prefix": prefix})
        check_addresses(http, redis_url, data_dir, "", prefix.rstrip("/"))


@pytest.mark.usefixtures("worker")
def test_absolute_addresses_have_the_proxys_host_and_scheme(redis_url: str, data_dir: Path) -> None:
    with behind_proxy(redis_url, data_dir) as http:
        assert http.get("/models/", headers=FORWARDED).headers["Location"] == "https://example.org/adis/models"


@pytest.mark.usefixtures("worker")
def test_nobody_else_is_believed(redis_url: str, data_dir: Path) -> None:
    for peer, trusted in (("203.0.113.7", "127.0.0.1"), ("127.0.0.1", "203.0.113.0/24"), ("127.0.0.1", "")):
        with behind_proxy(redis_url, data_dir, peer, trusted_proxies=trusted) as http:
            assert http.post("/stylize", files=GOOD, headers=FORWARDED).headers["Location"].startswith("/jobs/")
            assert http.get("/models/", headers=FORWARDED).headers["Location"] == f"{ADDRESS}/models"
    with behind_proxy(redis_url, data_dir, "203.0.113.7", trusted_proxies="203.0.113.0/24,::1") as http:
        assert http.post("/stylize", files=GOOD, headers=FORWARDED).headers["Location"].startswith("/adis/jobs/")


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("prefix", ["//evil.example", "/a b", "adis", "/<script>", "/" + "a" * 100, "/a" * 50])
def test_what_is_no_path_is_ignored(redis_url: str, data_dir: Path, prefix: str) -> None:
    with behind_proxy(redis_url, data_dir) as http:
        answer = http.post("/stylize", files=GOOD, headers={"X-Forwarded-Prefix": prefix})
        assert answer.headers["Location"].startswith("/jobs/")


@pytest.mark.parametrize("root_path", ["adis", "/adis/", "//evil.example", "/a b"])
def test_a_root_path_that_is_none_is_refused(data_dir: Path, root_path: str) -> None:
    with pytest.raises(ValidationError):
        settings(data_dir, root_path=root_path)
