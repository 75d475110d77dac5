"""What can go wrong for a client.

ClientError
├── NoService    nothing answers at the address, or not as this service would
├── Refused      the service refused the request, with its problem document
└── JobFailed    the job failed, or was cancelled
"""

from collections.abc import Mapping
from typing import Any


class ClientError(Exception):
    """The root; the message is for people."""


class NoService(ClientError):
    """Nothing answers, or not as this service would."""


class Refused(ClientError):
    """status, type, field: of the problem document. retry_after: seconds, where trying again makes sense."""

    def __init__(self, problem: Mapping[str, Any], retry_after: float | None = None) -> None:
        super().__init__(words(problem))
        self.problem = dict(problem)
        self.status = int(problem.get("status", 0))
        self.type = str(problem.get("type", "about:blank"))
        self.field: str | None = problem.get("field")
        self.retry_after = retry_after


class JobFailed(ClientError):
    """The job ended without results. problem: what the service says of it; None if it was cancelled."""

    def __init__(self, job_id: str, problem: Mapping[str, Any] | None) -> None:
        super().__init__(words(problem) if problem else f"job {job_id} was cancelled")
        self.job_id = job_id
        self.problem = problem


def words(problem: Mapping[str, Any]) -> str:
    """A problem document in one line."""
    field = f"{problem['field']}: " if problem.get("field") else ""
    return f"{field}{str(problem.get('detail', problem.get('title', 'the service refused'))).removeprefix(field)}"
