"""Share the segments of one video among workers: each has a lease of its own, which is a lock of redis-py's.

Kept in Redis, beside the job's record:
  segment:ID:FIRST   string  the process that works on the segment which begins with frame FIRST
  frames:ID          hash    frames that are done, by segment; model: SHA-256 of the bundle that makes them

A segment is finished when its report lies on storage. Two workers on one, should that ever happen, write the same
bytes, each to a file of its own that is renamed at the end: the lease saves work, and nothing depends on it.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from redis.exceptions import LockError
from redis.lock import Lock

from service.jobs.owner import Owner, is_dead
from service.jobs.record import JobState
from service.jobs.renewal import renewed
from service.redis.connection import Client

_LIFETIME_SECONDS: Final = 86_400
_MODEL: Final = "model"
_LONGEST_LEASE_SECONDS: Final = 600.0  # one that lasts longer is from a clock that was put back


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
            if self._client.pttl(name) > max(_LONGEST_LEASE_SECONDS, 2 * self._lease_seconds) * 1000:
                self._client.pexpire(name, round(self._lease_seconds * 1000))  # its holder, if it lives, renews it
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

    def begin(self, model: str) -> None:
        """The job's holder begins, and wants segments made with this bundle (its SHA-256) and no other."""
        key = f"adis:frames:{self.job_id}"
        with self._client.pipeline(transaction=True) as pipe:
            pipe.delete(key)
            pipe.hset(key, _MODEL, model)
            pipe.expire(key, _LIFETIME_SECONDS)
            pipe.execute()

    def note(self, first: int, frames: int) -> None:
        """So many frames of the segment are done."""
        key = f"adis:frames:{self.job_id}"
        self._client.hset(key, str(first), frames)
        self._client.expire(key, _LIFETIME_SECONDS)

    def frames(self) -> int:
        """Frames of all segments that are done."""
        noted = self._client.hgetall(f"adis:frames:{self.job_id}")
        return sum(int(frames) for first, frames in noted.items() if first != _MODEL)

    def model(self) -> str | None:
        """What segments are wanted of, as `begin` said; None if none are: the job has ended, or they are joined."""
        state = self._client.hget(f"adis:job:{self.job_id}", "state")
        model: str | None = self._client.hget(f"adis:frames:{self.job_id}", _MODEL)
        return None if state is None or JobState(state).ended else model

    def forget(self) -> None:
        """All segments are there, and are about to be joined and removed: nobody is to begin one again."""
        self._client.delete(f"adis:frames:{self.job_id}")
