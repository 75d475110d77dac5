"""The jobs of one API key, newest first, in pages; the key is empty while the service asks for none."""

from dataclasses import dataclass
from typing import Final

from service.errors import InvalidValue
from service.jobs.record import JobRecord, JobState, record_from_hash
from service.redis.connection import AsyncClient

_MOST_LOOKED_AT: Final = 1000  # a page that few jobs fit on ends there, and the next goes on
_AT_ONCE: Final = 100
_MARGIN: Final = (
    10  # the last page's end, those that came in the same microsecond, and one to see whether there is more
)


@dataclass(frozen=True)
class Page:
    """Some of a key's jobs. cursor: where the next page begins, or None if there is no more."""

    records: list[JobRecord]
    cursor: str | None


@dataclass(frozen=True)
class _Place:
    """Where in the list a page begins: after this job."""

    time: str
    job_id: str

    @classmethod
    def read(cls, cursor: str) -> "_Place":
        """Raises InvalidValue."""
        time, _, job_id = cursor.partition("-")
        if not (time.replace(".", "", 1).isdecimal() and time.isascii() and len(time) <= 20 and len(job_id) == 32):
            raise InvalidValue(
                "cursor is not one that this service gave; leave it out for the first page", field="cursor"
            )
        return cls(time, job_id)

    def is_before(self, job_id: str, time: float) -> bool:
        """Whether that job is further down the list."""
        return (time, job_id) < (float(self.time), self.job_id)

    def __str__(self) -> str:
        return f"{self.time}-{self.job_id}"


async def list_jobs(client: AsyncClient, api_key: str, limit: int, cursor: str | None, state: JobState | None) -> Page:
    """The key's jobs, newest first; ids whose record is gone are dropped from the list. Raises InvalidValue."""
    place, found, looked_at = _Place.read(cursor) if cursor else None, list[JobRecord](), 0
    index = f"adis:mine:{api_key}"
    at_once = limit + _MARGIN if state is None else _AT_ONCE
    while looked_at < _MOST_LOOKED_AT:
        highest = place.time if place else "+inf"
        batch = await client.zrevrangebyscore(index, highest, "-inf", start=0, num=at_once, withscores=True)
        batch = [(job_id, time) for job_id, time in batch if place is None or place.is_before(job_id, time)]
        if not batch:
            return Page(found, None)
        looked_at += len(batch)
        for job_id, time, fields in await _fields_of(client, index, batch):
            if len(found) == limit:
                return Page(found, str(place))
            place = _Place(f"{time:.6f}", job_id)
            if fields and (state is None or fields["state"] == state):
                found.append(record_from_hash(job_id, fields))
    return Page(found, str(place))


async def _fields_of(
    client: AsyncClient, index: str, batch: list[tuple[str, float]]
) -> list[tuple[str, float, dict[str, str]]]:
    """The records' fields, none where a record is gone, whose id then leaves the list."""
    async with client.pipeline(transaction=False) as pipe:
        for job_id, _ in batch:
            pipe.hgetall(f"adis:job:{job_id}")
        hashes = await pipe.execute()
    stale = [job_id for (job_id, _), fields in zip(batch, hashes, strict=True) if not fields]
    if stale:
        await client.zrem(index, *stale)
    return [(job_id, time, fields) for (job_id, time), fields in zip(batch, hashes, strict=True)]
