"""Uploads, results and parts of videos in an object store, for hosts that share no disk.

The store holds what `Storage` holds: jobs/ID/inputs/HASH, jobs/ID/results/HASH, jobs/ID/work/NAME.
What a process works on lies in a scratch folder of its own, and goes when it leaves the job: no file is anybody else's.
"""

import fcntl
import hashlib
import logging
import shutil
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import ClassVar, Final, TextIO

from service.errors import StorageUnavailable
from service.storage.folder import Storage
from service.storage.object_store import ObjectStore

logger = logging.getLogger(__name__)

_LINK_SECONDS: Final = 900


class BucketStorage(Storage):
    """The files of all jobs in one bucket. links: whether clients may get results from the store itself."""

    look_again_seconds: ClassVar[float] = 1.0

    def __init__(self, store: ObjectStore, data_dir: Path, links: bool) -> None:
        self._scratches = data_dir.resolve() / "scratch"
        self._scratch = self._scratches / uuid.uuid4().hex
        super().__init__(self._scratch)
        self._store, self._links = store, links
        self._lock: TextIO | None = None  # open as long as the process lives

    def prepare(self) -> None:
        """Make this process's scratch folder, and remove those of processes that have ended."""
        self._scratches.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self._scratches / "lock").open("a") as gate:
            fcntl.flock(gate, fcntl.LOCK_EX)  # nobody meets a folder that its process has not locked yet
            super().prepare()
            self._lock = _lock(self._scratch)
            for other in self._scratches.iterdir():
                if other != self._scratch and (lock := _lock(other)) is not None:
                    shutil.rmtree(other, ignore_errors=True)
                    lock.close()

    def close(self) -> None:
        """Remove the scratch folder."""
        if self._lock is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._lock.close()

    def check_writable(self) -> None:
        """Raises OSError if nothing can be received, and StorageUnavailable if nothing can be kept."""
        super().check_writable()
        self._store.check()

    def persist_tasks(self, job_id: str, names: Collection[str]) -> list[Callable[[], None]]:
        folder = self._jobs / job_id / "inputs"
        return [partial(self._store.put_file, f"jobs/{job_id}/inputs/{name}", folder / name) for name in names]

    def fetch_input(self, job_id: str, sha256: str) -> Path:
        path = self._jobs / job_id / "inputs" / sha256
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._store.fetch(f"jobs/{job_id}/inputs/{sha256}", path)
        return path

    def has_input(self, job_id: str, sha256: str) -> bool:
        return self._store.has(f"jobs/{job_id}/inputs/{sha256}")

    def link_input(self, source_id: str, job_id: str, sha256: str) -> None:
        self._store.copy(*(f"jobs/{one}/inputs/{sha256}" for one in (source_id, job_id)))

    def result_link(self, job_id: str, sha256: str, media_type: str, disposition: str) -> str | None:
        key = f"jobs/{job_id}/results/{sha256}"
        return self._store.link(key, _LINK_SECONDS, media_type, disposition) if self._links else None

    def read_result(self, job_id: str, sha256: str, first: int, size: int) -> Iterator[bytes]:
        return self._store.read(f"jobs/{job_id}/results/{sha256}", first, size)

    def write_result(self, job_id: str, content: bytes) -> str:
        """Store a result and return its SHA-256; the caller erases it if the job was erased meanwhile."""
        sha256 = hashlib.sha256(content).hexdigest()
        self._store.put(f"jobs/{job_id}/results/{sha256}", content)
        return sha256

    def move_to_results(self, job_id: str, path: Path) -> str:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        self._store.put_file(f"jobs/{job_id}/results/{sha256}", path)
        return sha256

    def work_dir(self, job_id: str) -> Path:
        folder = self._jobs / job_id / "work"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder

    def share(self, job_id: str, path: Path) -> None:
        self._store.put_file(f"jobs/{job_id}/work/{path.name}", path)

    def fetch_shared(self, job_id: str, pattern: str) -> None:
        folder = self.work_dir(job_id)
        for one in self._store.objects(f"jobs/{job_id}/work/"):
            path = folder / one.key.rpartition("/")[2]
            if fnmatch(path.name, pattern) and not path.exists():
                self._store.fetch(one.key, path)

    def clear_work(self, job_id: str) -> None:
        """Remove what the job made on the way; if the store does not answer, that goes with the rest of the job."""
        super().clear_work(job_id)
        try:
            self._store.delete(f"jobs/{job_id}/work/")
        except StorageUnavailable:
            logger.warning("parts of job %s stay until it is erased", job_id)

    def release_scratch(self, job_id: str) -> None:
        super().erase(job_id)

    def erase(self, job_id: str) -> None:
        """Remove everything of the job, here and in the store; raises StorageUnavailable."""
        self.release_scratch(job_id)
        self._store.delete(f"jobs/{job_id}/")

    def stale_jobs(self, lifetime_seconds: float) -> Iterator[str]:
        """Ids of jobs whose newest file is so old that their record, unless they are still active, has expired."""
        yield from super().stale_jobs(lifetime_seconds)
        newest: dict[str, float] = {}
        for one in self._store.objects("jobs/"):
            job_id = one.key.split("/")[1]
            newest[job_id] = max(newest.get(job_id, 0.0), one.modified.timestamp())
        limit = time.time() - lifetime_seconds
        yield from (job_id for job_id, seconds in newest.items() if seconds <= limit)


def _lock(scratch: Path) -> TextIO | None:
    """The folder's lock, held until it is closed or the process ends; None if it has none, or somebody else's."""
    try:
        file = (scratch / "lock").open("a")
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file
