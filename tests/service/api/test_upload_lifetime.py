"""How long an upload is kept, and that what a job needs of it is kept for longer."""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from service.api.context import open_context
from service.redis.connection import Client
from tests.service.api.harness import PHOTO, SOUND, settings, stored_files, sweep_once
from tests.service.api.uploading import AUDIO, PHOTO_ID, SOUND_ID, refusal, upload


def test_what_a_job_needs_outlives_its_upload(http: TestClient, data_dir: Path) -> None:
    upload(http, PHOTO)
    job = http.post("/stylize", files=[AUDIO], data={"image_id": PHOTO_ID}).json()["id"]
    assert http.delete(f"/uploads/{PHOTO_ID}").status_code == 204
    assert http.get(f"/uploads/{PHOTO_ID}").status_code == 404
    assert (data_dir / "jobs" / job / "inputs" / PHOTO_ID).read_bytes() == PHOTO
    http.delete(f"/jobs/{job}")
    assert stored_files(data_dir) == set()


def swept(redis_url: str, data_dir: Path, **values: Any) -> set[str]:
    """What is left when the sweep meets files that are old."""
    own = settings(data_dir, **values)
    long_ago = time.time() - 10 * own.result_ttl_seconds
    for path in data_dir.rglob("*"):
        os.utime(path, (long_ago, long_ago))

    async def run() -> None:
        async with open_context(own, redis_url) as context:
            await sweep_once(context)

    asyncio.run(run())
    return stored_files(data_dir)


def test_the_sweep_takes_an_upload_that_has_expired_and_no_other(
    http: TestClient, redis_url: str, data_dir: Path, client: Client
) -> None:
    upload(http, PHOTO)
    upload(http, SOUND)
    job = http.post("/stylize", files=[AUDIO], data={"image_id": PHOTO_ID}).json()["id"]
    assert swept(redis_url, data_dir) == {PHOTO_ID, SOUND_ID}
    folder = client.hget(f"adis:upload::{PHOTO_ID}", "folder")
    client.delete(f"adis:upload::{PHOTO_ID}")  # as time does
    client.zadd("adis:uploads", {folder: 1})
    assert http.get(f"/uploads/{PHOTO_ID}").status_code == 404
    assert swept(redis_url, data_dir) == {PHOTO_ID, SOUND_ID}
    assert not (data_dir / "jobs" / folder).exists()
    assert (data_dir / "jobs" / job / "inputs" / PHOTO_ID).read_bytes() == PHOTO  # the job waits still


def test_each_use_keeps_an_upload_for_longer(http: TestClient, client: Client) -> None:
    upload(http, PHOTO)
    key = f"adis:upload::{PHOTO_ID}"
    uses: list[Callable[[], Any]] = [
        lambda: http.post("/stylize", files=[AUDIO], data={"image_id": PHOTO_ID}),
        lambda: upload(http, PHOTO),
    ]
    for use in uses:
        client.expire(key, 10)
        http.get(f"/uploads/{PHOTO_ID}")
        assert client.ttl(key) <= 10
        use()
        assert client.ttl(key) > 10_000


def test_a_file_that_is_lost_is_taken_again(http: TestClient, data_dir: Path) -> None:
    upload(http, PHOTO)
    for path in data_dir.rglob(PHOTO_ID):
        path.unlink()
    assert refusal(http, files=[AUDIO], data={"image_id": PHOTO_ID})[:2] == (404, "upload-not-found")
    assert http.post("/uploads", files={"file": ("x", PHOTO)}).status_code == 201
    assert http.post("/stylize", files=[AUDIO], data={"image_id": PHOTO_ID}).status_code == 202
