"""The job's state machine: every change of a record is one atomic script (`lua/*.lua`) that runs inside Redis.

Kept in Redis, with the prefix `adis:`
  job:ID          hash     the record (service.jobs.record)
  events:ID       stream   what happened, for replay
  job-events      channel  `ID state` of jobs to which something happened
  queued:KIND     sorted   ids that wait, by the time of their place in the line, which is that of their message
  running         sorted   ids that a worker holds, by the time at which its lease ends
  served          hash     the newest place in the line that a worker took, by kind
  bytes           hash     bytes of the uploads of all jobs that have not ended, by kind
  pace            hash     seconds that a unit of work took of late, by kind (service.jobs.wait_estimator)
  key:HASH        string   id of the job that an idempotency key belongs to
  mine:KEY        sorted   ids of an API key's jobs, by the time at which they came (service.jobs.job_index)
  active:KEY      set      those of them that wait or run
  webhooks        sorted   ids of jobs whose end is still to be told (service.webhooks.schedule)
  metrics         hash     what has been counted so far (service.observe.catalogue)

A Redis that has reached `maxmemory` takes no new jobs. Whatever takes, keeps, ends or cancels those that it has goes
on: it needs little room, and what it needs is bounded by the jobs.
Active jobs do not expire; an ended one lives for its time, and its events and key with it.
"""

from pathlib import Path
from typing import Final

from service.redis.scripts import load_script

_FOLDER: Final = Path(__file__).parent / "lua"


def _load(name: str, when_full: bool = True) -> str:
    return load_script(_FOLDER / "common.lua", _FOLDER / f"{name}.lua", when_full=when_full)


SUBMIT = _load("submit", when_full=False)
CLAIM, RENEW, FINISH, RELEASE, CANCEL = map(_load, ("claim", "renew", "finish", "release", "cancel"))
