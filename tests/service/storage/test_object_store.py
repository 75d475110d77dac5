"""Objects in a real S3 server: what is put is read back, and what goes wrong is one kind of error."""

import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from service.errors import StorageUnavailable
from service.storage.object_store import ObjectStore
from tests.support import object_store as support

CONTENT = os.urandom(3_000_000)


@pytest.fixture
def objects(store: support.ObjectStore) -> ObjectStore:
    return ObjectStore(store.url, store.endpoint)


def test_a_file_is_put_and_fetched(objects: ObjectStore, store: support.ObjectStore, tmp_path: Path) -> None:
    given, taken = tmp_path / "given", tmp_path / "taken"
    given.write_bytes(CONTENT * 4)  # beyond the size from which on it goes up in parts
    objects.put_file("a/b", given)
    objects.fetch("a/b", taken)
    assert taken.read_bytes() == CONTENT * 4
    assert store.stored() == {"a/b"}


@pytest.mark.parametrize(("first", "size"), [(0, 3_000_000), (0, 1), (1_500_000, 1_499_999), (2_999_999, 1)])
def test_a_range_is_read(objects: ObjectStore, first: int, size: int) -> None:
    objects.put("x", CONTENT)
    assert b"".join(objects.read("x", first, size)) == CONTENT[first : first + size]


def test_what_begins_alike_is_listed_and_deleted(objects: ObjectStore) -> None:
    for key in ("jobs/1/a", "jobs/1/b/c", "jobs/12/a", "other"):
        objects.put(key, b"1")
    assert {one.key for one in objects.objects("jobs/1/")} == {"jobs/1/a", "jobs/1/b/c"}
    objects.delete("jobs/1/")
    objects.delete("jobs/1/")  # twice does no harm
    assert {one.key for one in objects.objects("")} == {"jobs/12/a", "other"}


def test_an_object_that_is_not_there_is_not_found(objects: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        objects.fetch("nothing", tmp_path / "x")
    with pytest.raises(FileNotFoundError):
        objects.read("nothing", 0, 1)
    assert list(tmp_path.glob("x*")) == []


def test_a_link_opens_the_object_for_anybody_for_a_while(objects: ObjectStore) -> None:
    objects.put("x", b"0123456789")
    disposition = "inline; filename=\"Schlo-rain+6dB.png\"; filename*=UTF-8''Schlo%C3%9F-rain+6dB.png"
    link = objects.link("x", 60, "image/png", disposition)
    with urllib.request.urlopen(urllib.request.Request(link, headers={"Range": "bytes=2-4"})) as answer:
        assert answer.read() == b"234"
        assert answer.headers["Content-Type"] == "image/png"
        assert answer.headers["Content-Disposition"] == disposition
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(link[:-1] + ("1" if link[-1] == "0" else "0"))  # its end is the signature
    with pytest.raises(urllib.error.HTTPError, match=r"40[03]"):
        urllib.request.urlopen(link.partition("?")[0])


def test_a_link_names_the_address_that_clients_reach(store: support.ObjectStore) -> None:
    objects = ObjectStore(store.url, store.endpoint, "https://files.example.org")
    link = objects.link("x", 60, "image/png", "x.png")
    assert link.startswith(f"https://files.example.org/{support.BUCKET}/{support.PREFIX}/x?")


def test_the_most_talkative_log_has_neither_keys_nor_signatures(store: support.ObjectStore) -> None:
    code = f"""
from service.observe.logs import set_up_logging
set_up_logging("debug", "text")
from service.storage.object_store import ObjectStore
objects = ObjectStore({store.url!r}, {store.endpoint!r})
objects.put("x", b"1")
objects.link("x", 60, "image/png", "x.png")
ObjectStore("s3://no-such-bucket", {store.endpoint!r}).check()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "NoSuchBucket" in done.stderr
    for secret in (support.ACCESS_KEY, support.SECRET_KEY, "AWS4-HMAC-SHA256"):
        assert secret not in done.stderr


def test_a_wrong_secret_a_missing_bucket_and_a_store_that_is_away_are_one_error(
    store: support.ObjectStore, objects: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = ObjectStore("s3://no-such-bucket", store.endpoint)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    unknown = ObjectStore(store.url, store.endpoint)
    objects.check()
    for bad in (elsewhere, unknown):
        with pytest.raises(StorageUnavailable) as caught:
            bad.check()
        assert caught.value.retry_after
        assert "signature" not in caught.value.detail.lower()  # the log says why
        with pytest.raises(StorageUnavailable):
            bad.fetch("x", tmp_path / "x")
    store.stop()
    for act in (
        objects.check,
        lambda: objects.put("x", b"1"),
        lambda: objects.fetch("x", tmp_path / "x"),
        lambda: objects.put_file("x", Path(__file__)),
        lambda: objects.read("x", 0, 1),
        lambda: list(objects.objects("")),
        lambda: objects.delete("x"),
    ):
        with pytest.raises(StorageUnavailable):
            act()
