"""Share the segments of one video among workers: each has a lease of its own, which is a lock of redis-py's.

Kept in Redis, beside the job's record:
  segment:ID:FIRST   string  the process that works on the segment which begins with frame FIRST
  frames:ID          hash    frames that are done, by segment

A segment is finished when its report lies on storage. Two workers on one, should that ever happen, write the same
bytes, each to a file of its own that is renamed at the end: the lease saves work, and nothing depends on it.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from redis.exceptions import LockError
from redis.lock import Lock

from service.jobs.connection import Client
from service.jobs.owner import Owner, is_dead
from service.jobs.record import JobState
from service.jobs.renewal import renewed

_LIFETIME_SECONDS: Final = 86_400


class SegmentLeases:
    """The segments of one job, as one process sees them. first: number of a segment's first frame, its name."""

    def __init__(self, client: Client, job_id: str, owner: Owner, lease_seconds: float) -> None:
        self._client = client
        self.job_id = job_id
        self._owner = str(owner)
        self._lease_seconds = lease_seconds
        self._locks: dict[int, Lock] = {}

    def take(self, first: int) -> bool:
        """Take the segment if nobody has it, or if its holder is known to be dead."""
        name = f"adis:segment:{self.job_id}:{first}"
        lock = Lock(self._client, name, timeout=self._lease_seconds, blocking=False, thread_local=False)
        if (holder := self._client.get(name)) and is_dead(holder):
            with suppress(LockError):  # another has done so
                lock.do_release(holder.encode())
        if not lock.acquire(token=self._owner):
            return False
        self._locks[first] = lock
        return True

    @contextmanager
    def held(self, first: int) -> Iterator[None]:
        """Keep a segment that was taken until the block ends, and release it then."""
        lock = self._locks.pop(first)

        def renew() -> bool:
            try:
                return bool(lock.reacquire())
            except LockError:
                return False

        try:
            with renewed(renew, self._lease_seconds, f"segment {first} of job {self.job_id}"):
                yield
        finally:
            with suppress(LockError):
                lock.release()

    def note(self, first: int, frames: int) -> None:
        """So many frames of the segment are done."""
        key = f"adis:frames:{self.job_id}"
        self._client.hset(key, str(first), frames)
        self._client.expire(key, _LIFETIME_SECONDS)

    def frames(self) -> int:
        """Frames of all segments that are done."""
        return sum(int(frames) for frames in self._client.hvals(f"adis:frames:{self.job_id}"))

    def is_wanted(self) -> bool:
        """Whether the job still waits for its segments: it has not ended, and they are not joined."""
        state = self._client.hget(f"adis:job:{self.job_id}", "state")
        noted = self._client.exists(f"adis:frames:{self.job_id}")
        return state is not None and not JobState(state).ended and bool(noted)

    def forget(self) -> None:
        """All segments are there, and are about to be joined and removed: nobody is to begin one again."""
        self._client.delete(f"adis:frames:{self.job_id}")
