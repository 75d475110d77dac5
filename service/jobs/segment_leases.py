"""Share the parts of one video among workers: each part is taken by one of them at a time, with a lease of its own.

Kept in Redis, beside the job's record:
  part:ID:FIRST    string  the process that works on the part which begins with frame FIRST; it expires with its lease
  frames:ID        hash    frames that are done, by part

A part is finished when its report lies on storage. Two workers on one part, should that ever happen, write the same
bytes, each to a file of its own that is renamed at the end: the lease saves work, and nothing depends on it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from service.jobs.connection import Client
from service.jobs.owner import Owner, is_dead
from service.jobs.record import JobState
from service.jobs.renewal import renewed

_LIFETIME_SECONDS: Final = 86_400
# Each looks and acts at once: two workers may find the same dead one's part in the same moment.
# owner, an owner known to be dead or '', milliseconds -> 1 if the part is now the owner's
_TAKE: Final = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
return 1
"""
_RENEW: Final = "return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('PEXPIRE', KEYS[1], ARGV[2]) or 0"
_GIVE_BACK: Final = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"


class SegmentLeases:
    """The parts of one job, as one process sees them. first: number of a part's first frame, by which it is known."""

    def __init__(self, client: Client, job_id: str, owner: Owner, lease_seconds: float) -> None:
        self._client = client
        self.job_id = job_id
        self._owner = str(owner)
        self._lease_ms = round(1000 * lease_seconds)
        self._take = client.register_script(_TAKE)
        self._renew = client.register_script(_RENEW)
        self._give_back = client.register_script(_GIVE_BACK)

    def take(self, first: int) -> bool:
        """Take the part if nobody has it, or if its holder is known to be dead."""
        key = self._key(first)
        holder = self._client.get(key)
        dead = holder if holder and holder != self._owner and is_dead(holder) else ""
        return bool(self._take(keys=[key], args=[self._owner, dead, self._lease_ms]))

    @contextmanager
    def held(self, first: int) -> Iterator[None]:
        """Keep a part that was taken until the block ends, and give it back then."""
        key = self._key(first)

        def renew() -> bool:
            return bool(self._renew(keys=[key], args=[self._owner, self._lease_ms]))

        try:
            with renewed(renew, self._lease_ms / 1000, f"part {first} of job {self.job_id}"):
                yield
        finally:
            self._give_back(keys=[key], args=[self._owner])

    def note(self, first: int, frames: int) -> None:
        """So many frames of the part are done."""
        key = f"adis:frames:{self.job_id}"
        self._client.hset(key, str(first), frames)
        self._client.expire(key, _LIFETIME_SECONDS)

    def frames(self) -> int:
        """Frames of all parts that are done."""
        return sum(int(frames) for frames in self._client.hvals(f"adis:frames:{self.job_id}"))

    def is_wanted(self) -> bool:
        """Whether the job still waits for its parts: it has neither ended nor been erased, and they are not joined."""
        state = self._client.hget(f"adis:job:{self.job_id}", "state")
        noted = self._client.exists(f"adis:frames:{self.job_id}")
        return state is not None and not JobState(state).ended and bool(noted)

    def forget(self) -> None:
        """All parts are there, and are about to be joined and removed: nobody is to begin one again."""
        self._client.delete(f"adis:frames:{self.job_id}")

    def _key(self, first: int) -> str:
        return f"adis:part:{self.job_id}:{first}"
