"""The API whose files lie in a bucket: what it keeps there, how it lends results out, and what it says without it."""

import asyncio
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx2 as httpx
import pytest
from fastapi.testclient import TestClient

from service.api.context import open_context
from service.redis.connection import Client
from service.storage.folder import Storage
from service.storage.open_storage import open_storage
from tests.service.api.harness import (
    GOOD,
    PHOTO,
    RESULT,
    SOUND,
    api,
    finish,
    settings,
    somebody_at_work,
    stored_files,
    sweep_once,
)
from tests.support.object_store import PREFIX, SECRET_KEY, ObjectStore
from tests.support.processes import until

TAG = f'"{hashlib.sha256(RESULT).hexdigest()}"'


@pytest.fixture
def names(store: ObjectStore) -> dict[str, str]:
    """The settings that name the bucket."""
    return {"storage": store.url, "s3_endpoint": store.endpoint}


@pytest.fixture
def http(redis_url: str, data_dir: Path, names: dict[str, str]) -> Iterator[TestClient]:
    with somebody_at_work(redis_url), api(redis_url, data_dir, **names) as client:
        client.follow_redirects = False
        yield client


@pytest.fixture
def elsewhere(tmp_path: Path, names: dict[str, str]) -> Iterator[Storage]:
    """The storage of a worker on another host."""
    with closing(open_storage(settings(tmp_path / "elsewhere", **names))) as storage:
        storage.prepare()
        yield storage


@pytest.fixture
def job_id(http: TestClient) -> str:
    return str(http.post("/stylize", files=GOOD).json()["id"])


@pytest.fixture
def done(job_id: str, redis_url: str, data_dir: Path, elsewhere: Storage) -> str:
    """The address of a result."""
    finish(redis_url, data_dir, job_id, storage=elsewhere)
    return f"/jobs/{job_id}/results/0"


def test_an_accepted_jobs_uploads_are_in_the_bucket_and_nowhere_else(
    job_id: str, store: ObjectStore, data_dir: Path
) -> None:
    expected = {f"jobs/{job_id}/inputs/{hashlib.sha256(content).hexdigest()}" for content in (PHOTO, SOUND)}
    assert store.stored() == expected
    assert stored_files(data_dir) == {"lock"}


def test_a_job_gets_its_own_copy_of_an_upload_in_the_bucket(
    http: TestClient, store: ObjectStore, data_dir: Path, elsewhere: Storage
) -> None:
    upload = http.post("/uploads", files={"file": ("photo.png", PHOTO)}).json()["id"]
    (kept,) = store.stored()
    sent = {"files": [GOOD[1]], "data": {"image_id": upload}}
    job = http.post("/stylize", **sent).json()["id"]
    assert stored_files(data_dir) == {"lock"}
    assert http.delete(f"/uploads/{upload}").status_code == 204
    assert kept not in store.stored()
    assert elsewhere.fetch_input(job, upload).read_bytes() == PHOTO
    assert http.post("/stylize", **sent).status_code == 404
    assert {key.split("/")[1] for key in store.stored()} == {job}


def test_a_refused_upload_leaves_nothing(http: TestClient, store: ObjectStore, data_dir: Path) -> None:
    bad = [("image", ("photo.png", PHOTO)), ("audio", ("rain.wav", b"no sound"))]
    assert http.post("/stylize", files=bad).status_code == 415
    assert store.stored() == set()
    assert stored_files(data_dir) == {"lock"}


def test_a_result_is_lent_by_a_short_lived_link(http: TestClient, done: str) -> None:
    answer = http.get(done)
    assert (answer.status_code, answer.content) == (307, b"")
    assert (answer.headers["Cache-Control"], answer.headers["ETag"]) == ("no-store", TAG)
    link = answer.headers["Location"]
    assert SECRET_KEY not in link
    assert 60 <= int(parse_qs(urlsplit(link).query)["X-Amz-Expires"][0]) <= 3600
    lent = httpx.get(link)
    assert (lent.status_code, lent.content, lent.headers["Content-Type"]) == (200, RESULT, "image/png")
    assert httpx.get(link, headers={"Range": "bytes=10-19"}).content == RESULT[10:20]
    assert httpx.get(link, headers={"If-None-Match": lent.headers["ETag"]}).status_code == 304


def test_what_a_client_knows_already_needs_no_link(http: TestClient, done: str) -> None:
    assert http.get(done, headers={"If-None-Match": TAG}).status_code == 304
    head = http.head(done)
    assert (head.status_code, head.headers["ETag"], head.headers["Content-Length"]) == (200, TAG, str(len(RESULT)))
    assert http.get(done, headers={"Range": "bytes=100-"}).status_code == 416


def test_a_download_is_carried_on_by_our_tag_which_the_store_does_not_know(http: TestClient, done: str) -> None:
    answer = http.get(done, headers={"Range": "bytes=90-", "If-Range": TAG})
    assert (answer.status_code, answer.content) == (206, RESULT[90:])
    assert http.get(done, headers={"Range": "bytes=90-", "If-Range": '"other"'}).content == RESULT


def test_one_who_wants_no_link_gets_the_bytes(http: TestClient, done: str) -> None:
    whole = http.get(done, params={"redirect": "false"})
    assert (whole.status_code, whole.content, whole.headers["ETag"]) == (200, RESULT, TAG)
    part = http.get(done, params={"redirect": "false"}, headers={"Range": "bytes=-7"})
    assert (part.status_code, part.content, part.headers["Content-Range"]) == (206, RESULT[93:], "bytes 93-99/100")


def test_links_can_be_forbidden(
    http: TestClient, done: str, redis_url: str, tmp_path: Path, names: dict[str, str]
) -> None:
    with api(redis_url, tmp_path / "other", s3_redirect=False, **names) as closed:
        assert closed.get(done).content == RESULT


def test_a_deleted_job_leaves_no_object_and_its_link_opens_nothing(
    http: TestClient, done: str, store: ObjectStore
) -> None:
    link = http.get(done).headers["Location"]
    assert http.delete(done.partition("/results")[0]).status_code == 204
    assert store.stored() == set()
    assert httpx.get(link).status_code == 404
    assert http.get(done).status_code == 404


def test_a_store_that_is_away_is_said_and_a_deletion_can_be_tried_again(
    http: TestClient, done: str, store: ObjectStore, data_dir: Path, client: Client
) -> None:
    job = done.partition("/results")[0]
    store.stop()
    refused = http.post("/stylize", files=GOOD)
    assert (refused.status_code, refused.json()["type"]) == (503, "/problems/storage-unavailable")
    assert int(refused.headers["Retry-After"]) > 0
    assert client.zcard("adis:queued:image") == 0
    assert stored_files(data_dir) == {"lock"}
    unready = http.get("/readyz")
    assert (unready.status_code, unready.json()["missing"]) == (503, ["storage"])
    assert http.get("/healthz").status_code == 200
    for answer in (http.get(done, params={"redirect": "false"}), http.delete(job)):
        assert (answer.status_code, answer.headers["Content-Type"]) == (503, "application/problem+json")
        assert answer.headers["Retry-After"]
        assert store.endpoint.removeprefix("http://") not in answer.text
    assert http.get(job).json()["state"] == "succeeded"
    store.start()
    until(lambda: True if http.get("/readyz").status_code == 200 else None)  # what was found is kept for a second
    assert http.delete(job).status_code == 204
    assert store.stored() == set()


def test_objects_go_when_their_job_has_expired(
    http: TestClient,
    done: str,
    redis_url: str,
    store: ObjectStore,
    client: Client,
    tmp_path: Path,
    names: dict[str, str],
) -> None:
    own = settings(tmp_path / "sweeper", **names)
    long_ago = time.time() - 10 * own.result_ttl_seconds
    for path in store.folder.rglob("*"):
        if path.is_file():
            os.utime(path, (long_ago, long_ago))
    store.stop()
    store.start()  # what it remembers of files is not as old as they are

    def objects_after_a_sweep() -> int:
        async def run() -> None:
            async with open_context(own, redis_url) as context:
                await sweep_once(context)

        asyncio.run(run())
        return len(store.stored())

    assert objects_after_a_sweep() == 3  # its record is there
    client.delete(f"adis:job:{done.split('/')[2]}")
    assert objects_after_a_sweep() == 0


def test_keys_and_signatures_stay_out_of_metrics_and_logs(
    http: TestClient, done: str, caplog: pytest.LogCaptureFixture
) -> None:
    link = http.get(done).headers["Location"]
    signature = parse_qs(urlsplit(link).query)["X-Amz-Signature"][0]
    for text in (http.get("/metrics").text, caplog.text):
        assert signature not in text
        assert SECRET_KEY not in text
    assert PREFIX not in http.get("/metrics").text
