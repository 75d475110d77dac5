"""Uploads and results on disk: a folder for each job, in which every file is named by its SHA-256.

A client's file name is never used. The record of a job is written after its uploads are kept, and a folder without
a record is swept up when it is old. Workers and API share the folder; where they cannot, `BucketStorage` takes the
place of `Storage`, and the folder is each process's own.
  jobs/ID/inputs/HASH   jobs/ID/results/HASH   jobs/ID/work/: parts of a video in the making
A file that was uploaded for later jobs is the only input of a folder of its own; each job gets a link to it, so that
the file stays as long as the job needs it, whatever becomes of the upload.
  trash/                what is being deleted
"""

import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import ClassVar, Final

_PIECE_BYTES: Final = 1024 * 1024


class Storage:
    """The files of all jobs below one folder, which the API and the workers share.

    look_again_seconds: how often to look for what other workers made.
    """

    look_again_seconds: ClassVar[float] = 0.2

    def __init__(self, data_dir: Path) -> None:
        root = data_dir.resolve()
        self._jobs, self._trash = root / "jobs", root / "trash"

    @property
    def jobs_folder(self) -> Path:
        """Below which all files of jobs lie that this process works on."""
        return self._jobs

    def prepare(self) -> None:
        """Make the folders; raises OSError if that is not possible."""
        for folder in (self._jobs, self._trash):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def close(self) -> None:
        """The process ends."""

    def check_writable(self) -> None:
        """Raises OSError if nothing can be stored."""
        probe = self._trash / f".{uuid.uuid4().hex}"
        probe.write_bytes(b"ok")
        probe.unlink(missing_ok=True)  # another process may have emptied the trash

    def begin(self, job_id: str) -> Path:
        """Make the job's folder, and return the one that its uploads are received in."""
        folder = self._jobs / job_id
        for part in ("inputs", "results"):
            (folder / part).mkdir(parents=True, mode=0o700)
        return folder / "inputs"

    def persist_tasks(self, job_id: str, names: Collection[str]) -> list[Callable[[], None]]:
        """What makes received uploads survive a power cut, and be there for every worker.

        They may run side by side, and all must have returned before the job's record is written.
        """
        folders = (self._jobs / job_id / "inputs", self._jobs / job_id, self._jobs)
        return [partial(sync, path) for path in (*(folders[0] / name for name in names), *folders)]

    def fetch_input(self, job_id: str, sha256: str) -> Path:
        """Where an upload lies; raises FileNotFoundError if the job was erased, here or when it is opened."""
        return self._jobs / job_id / "inputs" / sha256

    def has_input(self, job_id: str, sha256: str) -> bool:
        """Whether that input is kept."""
        return (self._jobs / job_id / "inputs" / sha256).exists()

    def link_input(self, source_id: str, job_id: str, sha256: str) -> None:
        """Give the job, whose folder is made, an input of another folder; it lasts when the other one is erased.

        Raises FileNotFoundError if the other one is erased already.
        """
        source, target = (self._jobs / one / "inputs" / sha256 for one in (source_id, job_id))
        try:
            target.hardlink_to(source)
        except FileExistsError:  # the same content twice in one request
            return
        except FileNotFoundError:
            raise
        except OSError:  # a file system without links
            shutil.copyfile(source, target)
            sync(target)

    def result_link(self, job_id: str, sha256: str, media_type: str, disposition: str) -> str | None:
        """An address at which a client gets the result without us, for a while; None if there is none.

        media_type, disposition: the headers Content-Type and Content-Disposition of the answer.
        """
        return None

    def read_result(self, job_id: str, sha256: str, first: int, size: int) -> Iterator[bytes]:
        """`size` bytes of a result from byte `first` on, in pieces; raises FileNotFoundError at once if it is gone."""
        file = self.result_path(job_id, sha256).open("rb")

        def pieces() -> Iterator[bytes]:
            with file:
                file.seek(first)
                left = size
                while left > 0 and (piece := file.read(min(left, _PIECE_BYTES))):
                    left -= len(piece)
                    yield piece

        return pieces()

    def result_path(self, job_id: str, sha256: str) -> Path:
        """Where a result is put."""
        return self._jobs / job_id / "results" / sha256

    def write_result(self, job_id: str, content: bytes) -> str:
        """Store a result and return its SHA-256; raises FileNotFoundError if the job was erased meanwhile."""
        sha256 = hashlib.sha256(content).hexdigest()
        target = self.result_path(job_id, sha256)
        partial = target.with_name(f".{uuid.uuid4().hex}")
        try:
            partial.write_bytes(content)
            sync(partial)
            partial.replace(target)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        return sha256

    def work_dir(self, job_id: str) -> Path:
        """A folder for what a job makes on the way; raises FileNotFoundError if the job was erased."""
        folder = self._jobs / job_id / "work"
        folder.mkdir(exist_ok=True, mode=0o700)
        return folder

    def share(self, job_id: str, path: Path) -> None:
        """A finished file of the job's work folder is there for other workers, too."""

    def fetch_shared(self, job_id: str, pattern: str) -> None:
        """Have those files in the job's work folder that any worker has shared and whose name fits the pattern."""

    def clear_work(self, job_id: str) -> None:
        """Remove what the job made on the way."""
        self._remove(self._jobs / job_id / "work")

    def release_scratch(self, job_id: str) -> None:
        """This process works on the job no more."""

    def move_to_results(self, job_id: str, path: Path) -> str:
        """Make a file of the job's own folder one of its results; returns its SHA-256."""
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        sync(path)
        path.replace(self.result_path(job_id, sha256))
        return sha256

    def erase(self, job_id: str) -> None:
        """Remove everything of the job; nothing happens if there is nothing."""
        self._remove(self._jobs / job_id)

    def stale_jobs(self, lifetime_seconds: float) -> Iterator[str]:
        """Ids of jobs whose newest file is so old that their record, unless they are still active, has expired."""
        for folder in _older_than(self._jobs, lifetime_seconds):
            if not any(True for _ in _younger_than(folder, lifetime_seconds)):  # an upload may last long
                yield folder.name

    def empty_trash(self) -> None:
        """Finish deletions that were cut short."""
        for entry in _older_than(self._trash, 0):
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            else:  # of a check that was cut short
                entry.unlink(missing_ok=True)

    def _remove(self, folder: Path) -> None:
        """Rename first, so that a writer cannot refill a half-removed folder."""
        doomed = self._trash / uuid.uuid4().hex
        try:
            folder.rename(doomed)
        except FileNotFoundError:
            return
        shutil.rmtree(doomed, ignore_errors=True)


def _older_than(folder: Path, seconds: float) -> Iterator[Path]:
    limit = time.time() - seconds
    for entry in list(folder.iterdir()) if folder.is_dir() else []:
        try:
            if entry.stat().st_mtime <= limit:
                yield entry
        except FileNotFoundError:
            continue


def _younger_than(folder: Path, seconds: float) -> Iterator[Path]:
    """What lies below the folder and changed within that time."""
    limit = time.time() - seconds
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            if path.stat().st_mtime > limit:
                yield path


def sync(path: Path) -> None:
    """Have the contents of a file, or the names in a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
