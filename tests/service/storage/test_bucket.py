"""The files of jobs in a bucket, as hosts without a common disk see them."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from service.errors import StorageUnavailable
from service.storage.bucket import BucketStorage
from service.storage.object_store import ObjectStore
from tests.support import object_store as support

JOB = "1" * 32


@contextmanager
def host(store: support.ObjectStore, data_dir: Path, links: bool = True) -> Iterator[BucketStorage]:
    with closing(BucketStorage(ObjectStore(store.url, store.endpoint), data_dir, links)) as storage:
        storage.prepare()
        yield storage


@pytest.fixture
def here(store: support.ObjectStore, tmp_path: Path) -> Iterator[BucketStorage]:
    with host(store, tmp_path / "here") as storage:
        yield storage


@pytest.fixture
def there(store: support.ObjectStore, tmp_path: Path) -> Iterator[BucketStorage]:
    with host(store, tmp_path / "there") as storage:
        yield storage


def files_below(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file() and path.name != "lock"}


def test_an_upload_reaches_another_host_and_stays_on_none(
    here: BucketStorage, there: BucketStorage, tmp_path: Path
) -> None:
    (here.begin(JOB) / "abc").write_bytes(b"upload")
    for keep in here.persist_tasks(JOB, ["abc"]):
        keep()
    here.release_scratch(JOB)
    assert files_below(tmp_path / "here") == set()
    assert there.fetch_input(JOB, "abc").read_bytes() == b"upload"
    there.release_scratch(JOB)
    assert files_below(tmp_path / "there") == set()
    assert there.fetch_input(JOB, "abc").read_bytes() == b"upload"


def test_an_input_is_copied_in_the_store_and_outlives_its_source(
    here: BucketStorage, there: BucketStorage, tmp_path: Path
) -> None:
    upload = "2" * 32
    (here.begin(upload) / "abc").write_bytes(b"upload")
    for keep in here.persist_tasks(upload, ["abc"]):
        keep()
    here.release_scratch(upload)
    assert there.has_input(upload, "abc")
    there.link_input(upload, JOB, "abc")
    assert files_below(tmp_path / "there") == set()
    here.erase(upload)
    assert not there.has_input(upload, "abc")
    assert here.fetch_input(JOB, "abc").read_bytes() == b"upload"
    with pytest.raises(FileNotFoundError):
        there.link_input(upload, JOB, "abc")


def test_results_are_read_from_any_host(here: BucketStorage, there: BucketStorage) -> None:
    sha256 = there.write_result(JOB, b"0123456789")
    assert b"".join(here.read_result(JOB, sha256, 2, 3)) == b"234"
    whole = there.work_dir(JOB) / "whole.mp4"
    whole.write_bytes(b"video")
    assert b"".join(here.read_result(JOB, there.move_to_results(JOB, whole), 0, 5)) == b"video"


def test_what_is_shared_is_there_for_others_under_its_name(here: BucketStorage, there: BucketStorage) -> None:
    for name in ("0.mp4", "0.json", "sound.mp4"):
        (here.work_dir(JOB) / name).write_bytes(name.encode())
    here.share(JOB, here.work_dir(JOB) / "0.mp4")
    here.share(JOB, here.work_dir(JOB) / "0.json")
    there.fetch_shared(JOB, "*.json")
    assert files_below(there.work_dir(JOB)) == {"0.json"}
    there.fetch_shared(JOB, "*.mp4")
    assert files_below(there.work_dir(JOB)) == {"0.json", "0.mp4"}
    assert (there.work_dir(JOB) / "0.mp4").read_text() == "0.mp4"
    here.clear_work(JOB)
    there.release_scratch(JOB)
    there.fetch_shared(JOB, "*")
    assert files_below(there.work_dir(JOB)) == set()


def test_an_erased_job_leaves_no_object(
    here: BucketStorage, there: BucketStorage, store: support.ObjectStore, tmp_path: Path
) -> None:
    for job_id in (JOB, "2" * 32):
        (here.begin(job_id) / "abc").write_bytes(b"upload")
        for keep in here.persist_tasks(job_id, ["abc"]):
            keep()
        there.write_result(job_id, b"result")
    here.erase(JOB)
    assert {key.split("/")[1] for key in store.stored()} == {"2" * 32}
    assert not (here.work_dir(JOB).parent / "inputs").exists()
    with pytest.raises(FileNotFoundError):
        there.fetch_input(JOB, "abc")


def test_only_jobs_whose_newest_file_is_old_are_stale(here: BucketStorage, store: support.ObjectStore) -> None:
    old = time.time() - 1000
    for job_id, name, modified in (("a" * 32, "1", old), ("b" * 32, "1", old), ("b" * 32, "2", time.time())):
        path = store.folder / "jobs" / job_id / "inputs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"1")
        os.utime(path, (modified, modified))
    assert list(here.stale_jobs(500)) == ["a" * 32]


def test_the_scratch_of_a_process_that_ended_goes_and_that_of_one_that_lives_stays(
    here: BucketStorage, store: support.ObjectStore, tmp_path: Path
) -> None:
    (here.begin(JOB) / "abc").write_bytes(b"mine")
    code = (
        "import sys; from pathlib import Path; from service.storage.bucket import BucketStorage;"
        f"s = BucketStorage(None, Path({str(tmp_path / 'here')!r}), True); s.prepare();"
        f"(s.begin({JOB!r}) / 'theirs').write_bytes(b'1')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert files_below(tmp_path / "here") == {"abc", "theirs"}
    with host(store, tmp_path / "here") as again:
        assert files_below(tmp_path / "here") == {"abc"}
        again.check_writable()
    assert len(list((tmp_path / "here" / "scratch").iterdir())) == 2  # ours, and the gate


def test_links_are_lent_only_where_that_is_wanted(here: BucketStorage, store: support.ObjectStore) -> None:
    link = here.result_link(JOB, "abc", "image/png", "inline")
    assert link is not None
    assert link.startswith(f"{store.endpoint}/{support.BUCKET}/{support.PREFIX}/jobs/{JOB}/results/abc?")
    with host(store, here.work_dir(JOB), links=False) as closed:
        assert closed.result_link(JOB, "abc", "image/png", "inline") is None


def test_a_store_that_is_away_is_said_and_parts_left_there_are_no_error(
    here: BucketStorage, store: support.ObjectStore
) -> None:
    here.check_writable()
    (here.work_dir(JOB) / "0.mp4").write_bytes(b"1")
    here.share(JOB, here.work_dir(JOB) / "0.mp4")
    store.stop()
    with pytest.raises(StorageUnavailable):
        here.check_writable()
    with pytest.raises(StorageUnavailable):
        here.erase(JOB)
    here.clear_work(JOB)
    store.start()
    assert len(store.stored()) == 1
    here.erase(JOB)
    assert store.stored() == set()
