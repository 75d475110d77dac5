"""What is known of one job, as it is kept in Redis."""

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from service.kind import Kind


class JobState(StrEnum):
    """queued -> running -> succeeded or failed; cancelled from either of the first two."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing will change any more."""
        return self not in (JobState.QUEUED, JobState.RUNNING)


class StoredInput(BaseModel):
    """An upload. field: name of the request's part. sha256: also its name in the job's storage.

    name: what the client called the file, made safe (service.schemas.file_name); empty if it did not.
    """

    model_config = ConfigDict(frozen=True)

    field: str
    sha256: str
    bytes: int
    name: str = ""


class StoredResult(BaseModel):
    """A result file and the reports that go with it. sha256: also its name in the job's storage.

    warnings: what the result could not keep of its input: a code, and a detail.
    """

    model_config = ConfigDict(frozen=True)

    sha256: str
    bytes: int
    media_type: str
    width: int
    height: int
    gain_db: float
    heard: dict[str, Any]
    receipt: dict[str, Any]
    warnings: tuple[dict[str, str], ...] = ()


class JobRecord(BaseModel):
    """Times are seconds of the Unix epoch by the Redis server's clock.

    fingerprint: hash of parameters and inputs, by which a repeated request is known.
    attempt: counts the times that a worker took the job, and fences off the writes of earlier ones.
    lost: how many of those workers died over it.
    api_key: id of the key that it came with, and that alone may see it; empty if none was needed.
    request_id, traceparent: of the HTTP request that brought it, for the log and the trace of its worker.
    root_path: what a proxy in front of that request adds to addresses.
    webhook_*: where its end is told, of which ends, and how far that is (service.webhooks).
    """

    model_config = ConfigDict(frozen=True)

    id: str
    kind: Kind
    state: JobState
    parameters: dict[str, Any]
    inputs: tuple[StoredInput, ...]
    fingerprint: str
    created: float
    started: float | None = None
    finished: float | None = None
    expires: float | None = None
    done: int = 0
    total: int = Field(ge=1)
    unit: str = "results"
    attempt: int = 0
    lost: int = 0
    owner: str | None = None
    results: tuple[StoredResult, ...] = ()
    error: dict[str, Any] | None = None
    seconds: dict[str, float] = Field(default_factory=dict)
    api_key: str = ""
    request_id: str | None = None
    traceparent: str | None = None
    root_path: str = ""
    webhook_url: str | None = None
    webhook_events: str | None = None
    webhook_state: str | None = None
    webhook_attempts: int = 0
    webhook_last_status: int | None = None


_JSON_FIELDS: Final = frozenset({"parameters", "inputs", "results", "error", "seconds"})


def record_from_hash(job_id: str, fields: Mapping[str, str]) -> JobRecord:
    """The record in a Redis hash, in which structured fields are JSON."""
    values = {name: json.loads(value) if name in _JSON_FIELDS else value for name, value in fields.items()}
    return JobRecord.model_validate({"id": job_id, **values})


def hash_fields(**values: Any) -> dict[str, str]:
    """The same the other way: fields as Redis holds them."""
    return {name: json.dumps(value) if name in _JSON_FIELDS else str(value) for name, value in values.items()}
