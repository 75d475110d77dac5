"""What comes of a video job."""

from pathlib import Path
from typing import Any

import pytest

from service.jobs.record import JobRecord, JobState
from service.storage.folder import Storage
from service.work.job_runner import JobRunner
from tests.service.jobs.harness import read


def succeeded(redis_url: str, storage: Storage, job_id: str) -> tuple[JobRecord, Path, dict[str, Any]]:
    """The record, the result's file and its receipt."""
    record = read(redis_url, job_id)
    assert record.state is JobState.SUCCEEDED, record.error
    (result,) = record.results
    return record, storage.result_path(job_id, result.sha256), result.receipt


def die_in(workshop: JobRunner, job_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin a job whose work raises ConnectionError, as a worker would that dies in it: the job stays as it is."""
    with monkeypatch.context() as patch:
        patch.setattr("service.work.job_runner.RedisError", ConnectionError)
        with pytest.raises(ConnectionError):
            workshop.run(job_id)


def failure(redis_url: str, job_id: str) -> dict[str, Any]:
    record = read(redis_url, job_id)
    assert record.state is JobState.FAILED
    assert record.error is not None
    return record.error
