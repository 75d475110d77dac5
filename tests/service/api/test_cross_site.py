"""Pages of other origins, and names that are not the service's, get nothing: what browsers say of a request decides."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service.redis.connection import Client
from tests.service.api.harness import GOOD, api, finish, settings, somebody_at_work
from tests.service.api.test_proxy import behind_proxy

OWN = "http://127.0.0.1:8000"
FOREIGN = "http://127.0.0.1:9000"  # another program's page on the same machine
VISIT = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


@pytest.fixture
def worker(redis_url: str) -> Iterator[None]:
    with somebody_at_work(redis_url):
        yield


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": FOREIGN, "Sec-Fetch-Site": "same-site"},
        {"Origin": "http://localhost:8000", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "null", "Sec-Fetch-Site": "cross-site"},  # a sandboxed frame, a file
        {"Origin": FOREIGN},  # browsers that do not say whose site it is
        {"Origin": "http://evil.example:8000"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://127.0.0.1:99999"},
        {"Origin": "http://[::1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "cross-site", **VISIT},  # a form that is sent from elsewhere
        {"Sec-Fetch-Site": "something-new"},
    ],
)
def test_a_page_of_another_origin_can_neither_hand_in_nor_delete(
    http: TestClient, client: Client, redis_url: str, data_dir: Path, headers: dict[str, str]
) -> None:
    job_id = http.post("/stylize", files=GOOD).json()["id"]
    finish(redis_url, data_dir, job_id)
    for answer in (
        http.post("/stylize", files=GOOD, headers=headers),
        http.post("/stylize/video", files=GOOD, headers=headers),
        http.delete(f"/jobs/{job_id}", headers=headers),
    ):
        assert (answer.status_code, answer.json()["type"]) == (403, "/problems/foreign-origin")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-request-id"]
    assert client.keys("adis:job:*") == [f"adis:job:{job_id}"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": FOREIGN, "Sec-Fetch-Site": "same-site"},
        {"Origin": FOREIGN},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
    ],
)
def test_a_page_of_another_origin_reads_no_job(
    http: TestClient, redis_url: str, data_dir: Path, headers: dict[str, str]
) -> None:
    job_id = http.post("/stylize", files=GOOD).json()["id"]
    finish(redis_url, data_dir, job_id)
    for path in ("", "/events", "/results/0"):
        assert http.get(f"/jobs/{job_id}{path}").status_code == 200
        assert http.get(f"/jobs/{job_id}{path}", headers=headers).status_code == 403
        assert http.head(f"/jobs/{job_id}{path}", headers=headers).status_code == 403
    assert http.get("/models", headers=headers).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": OWN, "Sec-Fetch-Site": "same-origin"},
        {"Origin": OWN},
        {"Sec-Fetch-Site": "none", **VISIT},
    ],
)
def test_programs_and_the_services_own_page_are_served(http: TestClient, headers: dict[str, str]) -> None:
    assert http.post("/stylize", files=GOOD, headers=headers).status_code == 202
    assert http.get("/models", headers=headers).status_code == 200


def test_a_link_from_elsewhere_opens_the_page(http: TestClient) -> None:
    for path in ("/", "/docs"):
        assert http.get(path, headers={"Sec-Fetch-Site": "cross-site", **VISIT}).status_code == 200


@pytest.mark.usefixtures("worker")
def test_pages_of_named_origins_are_served(redis_url: str, data_dir: Path) -> None:
    named = {"Origin": "https://example.org", "Sec-Fetch-Site": "cross-site"}
    other = {"Origin": "https://example.com", "Sec-Fetch-Site": "cross-site"}
    with api(redis_url, data_dir, cors_origins="https://example.org") as http:
        answer = http.post("/stylize", files=GOOD, headers=named)
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (202, "https://example.org")
        assert http.post("/stylize", files=GOOD, headers=other).status_code == 403
    with api(redis_url, data_dir, cors_origins="*") as http:
        assert http.post("/stylize", files=GOOD, headers=other).status_code == 202


NAMES = ["127.0.0.1", "localhost:8000", "LOCALHOST.", "[::1]:8000", "192.168.1.5:8000", "127.9.9.9:1"]
FOREIGN_NAMES = [
    "evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", "evil.localhost",
    "studio", "", ":8000", "localhost:8000/", "evil.example@localhost", "localhost:99999", "[::1", "localhost,evil",
]  # fmt: skip


def test_only_loopback_names_and_addresses_are_trusted(http: TestClient) -> None:
    """A page at evil.example whose name has come to mean 127.0.0.1 is of the service's own origin, for a browser."""
    for name in NAMES:
        assert http.get("/models", headers={"Host": name}).status_code == 200, name
    for name in FOREIGN_NAMES:
        for answer in (
            http.get("/models", headers={"Host": name, "Sec-Fetch-Site": "same-origin"}),
            http.post("/stylize", files=GOOD, headers={"Host": name}),
            http.get("/", headers={"Host": name}),
            http.options("/stylize", headers={"Host": name}),
        ):
            assert (answer.status_code, answer.json()["type"]) == (421, "/problems/untrusted-host"), name


def test_a_page_cannot_name_another_host_than_its_own(http: TestClient) -> None:
    """Such a page sends what headers it likes, but for Host itself; and its requests come from loopback."""
    forwarded = {"Host": "evil.example:8000", "X-Forwarded-Host": "localhost:8000", "X-Forwarded-For": "127.0.0.1"}
    assert http.get("/models", headers=forwarded).status_code == 421


def test_several_hosts_are_refused(http: TestClient) -> None:
    hosts = [("Host", "localhost:8000"), ("Host", "localhost:8000")]
    assert http.get("/models", headers=hosts).status_code == 421


@pytest.mark.usefixtures("worker")
def test_the_operator_names_further_hosts(redis_url: str, data_dir: Path) -> None:
    with api(redis_url, data_dir, trusted_hosts="Example.org, *.lan, a_b") as http:
        for name in ("example.org:8000", "studio.lan", "a.b.lan:80", "localhost", "a_b"):
            assert http.get("/models", headers={"Host": name}).status_code == 200, name
        for name in ("lan", "evil.example.org", "notexample.org", "evillan"):
            assert http.get("/models", headers={"Host": name}).status_code == 421, name
    with api(redis_url, data_dir, trusted_hosts="*") as http:
        assert http.get("/models", headers={"Host": "evil.example"}).status_code == 200
    with api(redis_url, data_dir, host="studio.lan") as http:
        assert http.get("/healthz", headers={"Host": "studio.lan"}).status_code == 200


@pytest.mark.parametrize("names", ["https://example.org", "exa mple", "*example.org", "example.org:80", "-a"])
def test_what_is_no_name_is_refused_as_a_setting(data_dir: Path, names: str) -> None:
    with pytest.raises(ValueError, match="trusted_hosts"):
        settings(data_dir, trusted_hosts=names)


@pytest.mark.usefixtures("worker")
def test_the_page_works_behind_a_proxy_of_another_name(redis_url: str, data_dir: Path) -> None:
    """The proxy asks 127.0.0.1 and says which host and scheme it was asked for."""
    forwarded = {"X-Forwarded-Host": "example.org", "X-Forwarded-Proto": "https"}
    with behind_proxy(redis_url, data_dir) as http:
        for own in (
            {"Origin": "https://example.org"},
            {"Origin": "https://example.org", "Sec-Fetch-Site": "same-origin"},
        ):
            assert http.post("/stylize", files=GOOD, headers=forwarded | own).status_code == 202
        foreign = {"Origin": "https://evil.example"}
        assert http.post("/stylize", files=GOOD, headers=forwarded | foreign).status_code == 403
