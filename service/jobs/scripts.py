"""The job's state machine: every change of a record is one atomic script (`lua/*.lua`) that runs inside Redis.

Kept in Redis, with the prefix `adis:`
  job:ID          hash     the record (service.jobs.record)
  events:ID       stream   what happened, for replay
  job-events      channel  `ID state` of jobs to which something happened
  queued:KIND     sorted   ids that wait, by the time of their place in the line, which is that of their message
  running         sorted   ids that a worker holds, by the time at which its lease ends
  served          hash     the newest place in the line that a worker took, by kind
  bytes           hash     bytes of the uploads of all jobs that have not ended, by kind
  arriving:KIND   sorted   ids of jobs (and, as KIND `upload`, folders) whose files arrive, by the time when they count
                           no more (service.jobs.upload_budget)
  arriving-bytes:KIND  hash  bytes of each of them
  pace            hash     seconds that a unit of work took of late, by kind (service.jobs.wait_estimator)
  key:HASH        string   id of the job that an idempotency key belongs to
  mine:KEY        sorted   ids of an API key's jobs, by the time at which they came (service.jobs.job_index)
  active:KEY      set      those of them that wait or run
  upload:KEY:HASH hash     a file that an API key's jobs may use (service.jobs.upload_repository)
  uploads         sorted   the folders of these files, by the time at which they expire
  upload-bytes    hash     bytes of each, by folder, and of `all`
  webhooks        sorted   ids of jobs whose end is still to be told (service.webhooks.schedule)
  metrics         hash     what has been counted so far (service.observe.catalogue)

A Redis that has reached `maxmemory` takes no new jobs and uploads. Whatever takes, keeps, ends or cancels those that
it has goes on: it needs little room, and what it needs is bounded by the jobs (`allow-oom`).
Active jobs do not expire; an ended one lives for its time, and its events and key with it.
Keys are made from ids inside the scripts, so this wants a single Redis, not a cluster.
"""

import json
from pathlib import Path
from typing import Any, Final

_FOLDER: Final = Path(__file__).parent / "lua"


def _load(name: str, flags: str = " flags=allow-oom") -> str:
    return f"#!lua{flags}\n" + (_FOLDER / "common.lua").read_text() + (_FOLDER / f"{name}.lua").read_text()


SUBMIT, KEEP_UPLOAD = _load("submit", flags=""), _load("keep_upload", flags="")
CLAIM, RENEW, FINISH, RELEASE, CANCEL = map(_load, ("claim", "renew", "finish", "release", "cancel"))
USE_UPLOAD = _load("use_upload")
RESERVE = _load("reserve", flags="")


def arguments(**values: Any) -> list[str]:
    """The only argument of a script: one JSON object."""
    return [json.dumps(values)]
