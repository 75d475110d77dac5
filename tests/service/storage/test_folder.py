"""Files are kept by their hash in their job's folder, appear whole, and go with the job."""

import hashlib
import os
import time
from pathlib import Path

import pytest

from service.storage.folder import Storage

JOB = "1" * 32


def make_old(folder: Path) -> None:
    """Have the folder and all in it changed last 1000 s ago."""
    long_ago = time.time() - 1000
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (long_ago, long_ago))


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    made = Storage(tmp_path)
    made.prepare()
    return made


def test_uploads_lie_where_the_worker_looks(storage: Storage) -> None:
    folder = storage.begin(JOB)
    (folder / "abc").write_bytes(b"upload")
    for keep in storage.persist_tasks(JOB, ["abc"]):
        keep()
    assert storage.fetch_input(JOB, "abc").read_bytes() == b"upload"


def test_a_result_is_named_by_its_hash_and_written_again_without_harm(storage: Storage) -> None:
    storage.begin(JOB)
    names = {storage.write_result(JOB, b"picture") for _ in range(2)}
    assert names == {hashlib.sha256(b"picture").hexdigest()}
    path = storage.result_path(JOB, names.pop())
    assert path.read_bytes() == b"picture"
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_an_erased_job_leaves_nothing_and_takes_no_more_results(storage: Storage, tmp_path: Path) -> None:
    (storage.begin(JOB) / "abc").write_bytes(b"upload")
    storage.write_result(JOB, b"picture")
    storage.erase(JOB)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    with pytest.raises(FileNotFoundError):
        storage.write_result(JOB, b"too late")
    storage.erase(JOB)  # twice does no harm


def test_only_old_folders_are_stale(storage: Storage, tmp_path: Path) -> None:
    storage.begin(JOB)
    storage.begin("2" * 32)
    make_old(tmp_path / "jobs" / JOB)
    assert list(storage.stale_jobs(500)) == [JOB]


def test_a_folder_whose_upload_still_arrives_is_not_stale(storage: Storage, tmp_path: Path) -> None:
    upload = storage.begin(JOB) / ".arriving"
    upload.touch()
    make_old(tmp_path / "jobs" / JOB)
    upload.write_bytes(b"more")
    assert list(storage.stale_jobs(500)) == []


def test_a_deletion_that_was_cut_short_is_finished(storage: Storage, tmp_path: Path) -> None:
    left = tmp_path / "trash" / "left"
    (left / "inputs").mkdir(parents=True)
    (tmp_path / "trash" / ".probe").touch()
    storage.empty_trash()
    assert list((tmp_path / "trash").iterdir()) == []


def test_a_folder_that_cannot_be_written_is_noticed(storage: Storage, tmp_path: Path) -> None:
    storage.check_writable()
    (tmp_path / "trash").rename(tmp_path / "gone")
    with pytest.raises(OSError, match="No such file"):
        storage.check_writable()


def test_a_linked_input_outlives_the_folder_that_it_comes_from(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError("this file system has no links")

    upload, others = "2" * 32, ["3" * 32, "4" * 32]
    (storage.begin(upload) / "abc").write_bytes(b"upload")
    assert storage.has_input(upload, "abc")
    for job_id in others:
        storage.begin(job_id)
        storage.link_input(upload, job_id, "abc")
        if job_id == others[0]:
            storage.link_input(upload, job_id, "abc")  # twice does no harm
        monkeypatch.setattr(Path, "hardlink_to", no_links)
    storage.erase(upload)
    assert not storage.has_input(upload, "abc")
    assert [storage.fetch_input(job_id, "abc").read_bytes() for job_id in others] == [b"upload", b"upload"]
    monkeypatch.undo()
    with pytest.raises(FileNotFoundError):
        storage.link_input(upload, others[0], "def")
