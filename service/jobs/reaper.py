"""Requeue jobs that nobody works on any more: those that lost their worker or whose message was never sent."""

import logging
from typing import Final

from celery import Celery

from service.jobs import scripts
from service.jobs.connection import Client
from service.jobs.lease import LeaseTerms
from service.jobs.owner import is_dead
from service.jobs.queue import messages, send
from service.jobs.submission_repository import SEND_GRACE_SECONDS

logger = logging.getLogger(__name__)

_AT_ONCE: Final = 100


def requeue_overdue(client: Client, app: Celery, terms: LeaseTerms) -> int:
    """Send a new message for every overdue job; returns how many. A job that was lost too often fails instead.

    Jobs of a process that has died on this host are overdue at once, others when their lease has run out.
    """
    arguments = [_AT_ONCE, SEND_GRACE_SECONDS, terms.max_attempts, terms.problem, terms.lifetime_seconds]
    lists = [messages("picture"), messages("video")]
    found = client.register_script(scripts.OVERDUE)(args=[*arguments, *lists, *_dead_owners(client)])
    for job_id, kind in zip(found[::2], found[1::2], strict=True):
        logger.warning("job %s is overdue and is queued again", job_id)
        send(app, job_id, kind)
        client.register_script(scripts.SENT)(args=[job_id])
    return len(found) // 2


def _dead_owners(client: Client) -> list[str]:
    with client.pipeline(transaction=False) as pipe:
        for job_id in client.zrange("adis:due", 0, _AT_ONCE):
            pipe.hget(f"adis:job:{job_id}", "owner")
        return [owner for owner in set(pipe.execute()) if owner and is_dead(owner)]
