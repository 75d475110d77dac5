"""Records of uploads: one for each owner and content, within a budget, for as long as they are used."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from service.errors import QueueFull
from service.media.image import ImageInfo
from service.redis.connection import Client
from service.uploads.repository import Probed, Upload, UploadRepository
from tests.service.jobs.harness import with_client

Result = TypeVar("Result")

PHOTO = Probed(image=ImageInfo(width=4, height=3, format="png"))
ONE, OTHER = "1" * 64, "2" * 64


def ask(url: str, question: Callable[[UploadRepository], Awaitable[Result]], max_bytes: int = 100) -> Result:
    return with_client(url, lambda client: question(UploadRepository(client, 1000, max_bytes)))


def keep(url: str, sha256: str, folder: str, owner: str = "", size: int = 40) -> tuple[Upload, bool]:
    return ask(url, lambda uploads: uploads.keep(owner, sha256, folder, size, "a.png", PHOTO))


def test_of_two_that_come_at_once_one_is_kept(redis_url: str) -> None:
    first, is_new = keep(redis_url, ONE, "f1")
    assert (first.folder, is_new, first.probed, first.name) == ("f1", True, PHOTO, "a.png")
    second, is_new = keep(redis_url, ONE, "f2")
    assert (second.folder, is_new) == ("f1", False)
    again, _ = keep(redis_url, ONE, "f1")  # the script was sent twice, since its first answer was lost
    assert again.folder == "f1"
    assert ask(redis_url, lambda uploads: uploads.living(["f1", "f2"])) == [True, False]


def test_each_owner_has_its_own(redis_url: str) -> None:
    keep(redis_url, ONE, "f1", owner="a")
    assert keep(redis_url, ONE, "f2", owner="b")[0].folder == "f2"
    assert ask(redis_url, lambda uploads: uploads.find("c", ONE)) is None
    forgotten = ask(redis_url, lambda uploads: uploads.forget("a", ONE))
    assert forgotten is not None
    assert forgotten.folder == "f1"
    assert ask(redis_url, lambda uploads: uploads.living(["f1", "f2"])) == [False, True]


def test_bytes_are_counted_until_an_upload_expires_or_is_erased(redis_url: str, client: Client) -> None:
    keep(redis_url, ONE, "f1", size=60)
    with pytest.raises(QueueFull) as full:
        keep(redis_url, OTHER, "f2", size=50)
    assert 900 < (full.value.retry_after or 0) <= 1000
    client.zadd("adis:uploads", {"f1": 1})
    client.delete(f"adis:upload::{ONE}")
    keep(redis_url, OTHER, "f2", size=50)
    ask(redis_url, lambda uploads: uploads.forget("", OTHER))
    keep(redis_url, ONE, "f3", size=1000)  # too large for any budget: it comes in alone
    assert client.hgetall("adis:upload-bytes") == {"f3": "1000", "all": "1000"}
