"""Uploads and results on disk: a folder for each job, in which every file is named by its SHA-256.

A client's file name is never used. A job's folder appears whole (it is renamed into place) and vanishes whole.
  incoming/ID/          an upload that is still arriving
  jobs/ID/inputs/HASH   jobs/ID/results/HASH
  trash/                what is being deleted
"""

import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_INCOMING_SECONDS: Final = 3600.0  # no upload takes longer


class Storage:
    """The files of all jobs below one folder, which the API and the workers share."""

    def __init__(self, data_dir: Path) -> None:
        root = data_dir.resolve()
        self._incoming, self._jobs, self._trash = root / "incoming", root / "jobs", root / "trash"

    def prepare(self) -> None:
        """Make the folders; raises OSError if that is not possible."""
        for folder in (self._incoming, self._jobs, self._trash):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def check_writable(self) -> None:
        """Raises OSError if nothing can be stored."""
        probe = self._incoming / f".{uuid.uuid4().hex}"
        probe.write_bytes(b"ok")
        probe.unlink()

    def begin(self, job_id: str) -> Path:
        """A new folder for the job's uploads, until `adopt` or `discard`."""
        folder = self._incoming / job_id
        (folder / "inputs").mkdir(parents=True, mode=0o700)
        (folder / "results").mkdir(mode=0o700)
        return folder / "inputs"

    def adopt(self, job_id: str) -> None:
        """Put the arrived uploads, which have their final names, where the worker finds them; survives a power cut."""
        _sync(self._incoming / job_id / "inputs")
        (self._incoming / job_id).rename(self._jobs / job_id)
        _sync(self._jobs)

    def discard(self, job_id: str) -> None:
        """Drop uploads that were not adopted."""
        self._remove(self._incoming / job_id)

    def input_path(self, job_id: str, sha256: str) -> Path:
        """Where an upload lies."""
        return self._jobs / job_id / "inputs" / sha256

    def result_path(self, job_id: str, sha256: str) -> Path:
        """Where a result lies."""
        return self._jobs / job_id / "results" / sha256

    def write_result(self, job_id: str, content: bytes) -> str:
        """Store a result and return its SHA-256; raises FileNotFoundError if the job was erased meanwhile."""
        sha256 = hashlib.sha256(content).hexdigest()
        target = self.result_path(job_id, sha256)
        partial = target.with_name(f".{uuid.uuid4().hex}")
        try:
            write_synced(partial, content)
            partial.replace(target)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        return sha256

    def erase(self, job_id: str) -> None:
        """Remove everything of the job; nothing happens if there is nothing."""
        self._remove(self._jobs / job_id)

    def stale_jobs(self, lifetime_seconds: float) -> Iterator[str]:
        """Ids of stored jobs that are so old that their record, unless they are still active, has expired."""
        for folder in _older_than(self._jobs, lifetime_seconds):
            yield folder.name

    def sweep_unfinished(self) -> None:
        """Remove uploads that never became a job, and what a stopped deletion left."""
        for folder in [*_older_than(self._incoming, _INCOMING_SECONDS), *_older_than(self._trash, 0)]:
            self._remove(folder)

    def _remove(self, folder: Path) -> None:
        """Rename first, so that a writer cannot refill a half-removed folder."""
        doomed = self._trash / uuid.uuid4().hex
        try:
            folder.rename(doomed)
        except FileNotFoundError:
            return
        shutil.rmtree(doomed, ignore_errors=True)


def write_synced(path: Path, content: bytes) -> None:
    """Write a new file that is on the disk when this returns."""
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _older_than(folder: Path, seconds: float) -> Iterator[Path]:
    limit = time.time() - seconds
    for entry in list(folder.iterdir()) if folder.is_dir() else []:
        try:
            if entry.stat().st_mtime <= limit:
                yield entry
        except FileNotFoundError:
            continue


def _sync(folder: Path) -> None:
    """Make renames and new names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
