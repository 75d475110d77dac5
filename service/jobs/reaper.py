"""The reaper: queues again what lost its worker, and sends again the message of a job that has none.

A job is recorded before its message is sent, and a worker takes the message before it claims the job; whoever dies in
between leaves a queued job without a message. Messages are taken in their order, so such a job shows: it has waited
for a while, and either no message is left in its queue, or a job with a much later place in the line was served.
One message too many does no harm: a job is claimed once.

Times are by Redis's clock. If that was ahead for a while, what was written then lies in the future when it is back:
leases that would end and places in the line that would come much later than any can are brought back to now.
"""

import logging
from collections.abc import Iterator
from typing import Final

from celery import Celery

from service.jobs.lease import LeaseTerms, release_lost
from service.jobs.owner import is_dead
from service.jobs.queue import QUEUES, messages, send
from service.kind import Kind
from service.redis.connection import Client

logger = logging.getLogger(__name__)

GRACE_SECONDS: Final = 10.0  # within it a message may be on its way
LONGEST_LEASE_SECONDS: Final = 600.0  # one that ends later is from a clock that was put back, and from no other worker

_AT_ONCE: Final = 100


def requeue_overdue(client: Client, app: Celery, terms: LeaseTerms) -> int:
    """Send a new message for every job that needs one; returns how many. A job that was lost too often fails instead.

    Jobs of a process that has died on this host are lost at once, others when their lease has run out.
    """
    sent = 0
    for find in (_lost_jobs(client, terms), _jobs_without_message(client)):
        for job_id, kind in find:
            logger.warning("job %s has lost its worker or its message, and is sent again", job_id)
            send(app, job_id, kind)
            sent += 1
    return sent


def _lost_jobs(client: Client, terms: LeaseTerms) -> Iterator[tuple[str, Kind]]:
    """Running jobs whose worker is dead or silent; queued again when they are yielded."""
    now = _now(client)
    longest = max(LONGEST_LEASE_SECONDS, 2 * terms.lease_seconds)
    _bring_back(client, "adis:running", now + longest, now + terms.lease_seconds)
    for job_id, lease_ends in client.zrange("adis:running", 0, _AT_ONCE, withscores=True):
        owner, attempt, kind = client.hmget(f"adis:job:{job_id}", "owner", "attempt", "kind")
        if owner is None:
            client.zrem("adis:running", job_id)
        elif (dead := is_dead(owner)) or lease_ends <= now:
            lost = "dead" if dead else "overdue"
            if release_lost(client, job_id, owner, int(attempt), lost, terms):
                yield job_id, kind


def _jobs_without_message(client: Client) -> Iterator[tuple[str, Kind]]:
    """Queued jobs that no message is left of; at the end of their line when they are yielded."""
    now = _now(client)
    served = {kind: float(place) for kind, place in client.hgetall("adis:served").items()}
    for kind, queue in QUEUES.items():
        line = f"adis:queued:{kind}"
        none_left = client.llen(messages(queue)) == 0
        _bring_back(client, line, now + GRACE_SECONDS, now)
        places = [served.get(other, 0.0) for other, shared in QUEUES.items() if shared == queue]
        newest_served = max((place for place in places if place <= now + GRACE_SECONDS), default=0.0)
        waiting = client.zrangebyscore(line, "-inf", now - GRACE_SECONDS, start=0, num=_AT_ONCE, withscores=True)
        for job_id, place in waiting:
            if not (none_left or place < newest_served - GRACE_SECONDS):
                continue
            if not client.exists(f"adis:job:{job_id}"):
                client.zrem(line, job_id)
            elif client.zadd(line, {job_id: now}, xx=True, gt=True, ch=True):  # it may have been claimed meanwhile
                yield job_id, kind


def _bring_back(client: Client, key: str, limit: float, to: float) -> None:
    """Give what has a time beyond `limit` the time `to`."""
    for job_id in client.zrangebyscore(key, f"({limit!r}", "+inf", start=0, num=_AT_ONCE):
        logger.warning("job %s has a time from a clock that was put back", job_id)
        client.zadd(key, {job_id: to}, xx=True, lt=True)


def _now(client: Client) -> float:
    seconds, microseconds = client.time()
    return float(seconds + microseconds / 1e6)
