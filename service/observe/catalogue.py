"""Every metric that is counted in Redis: its name, its labels and, of a distribution, its buckets.

A count is a field of one Redis hash, `name|label|label…`; of a distribution each bucket is one, and the sum another.
Labels take few values (kinds, states, stages, types of problem), so the hash stays small however long it lives.
"""

from dataclasses import dataclass, field
from typing import Final, get_args

from service.kind import Kind

HASH: Final = "adis:metrics"
SUM: Final = "sum"

_KINDS: Final[tuple[tuple[str, ...], ...]] = tuple((kind,) for kind in get_args(Kind))
_ENDS: Final = (("succeeded", "none"), ("cancelled", "none"), ("failed", "internal"), ("failed", "lost-too-often"))

_SECONDS: Final = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
_JOB_SECONDS: Final = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10_000.0, 40_000.0)


@dataclass(frozen=True)
class Count:
    """Something that is counted. name: without Prometheus's `_total`.

    known: labels that are shown as 0 before their first event, which an increase would miss otherwise.
    """

    name: str
    help: str
    labels: tuple[str, ...]
    known: tuple[tuple[str, ...], ...] = field(default=(), kw_only=True)

    def field_of(self, *values: str) -> str:
        """Its field of the hash."""
        if len(values) != len(self.labels):
            raise ValueError(f"{self.name} has the labels {', '.join(self.labels)}")
        return "|".join((self.name, *values))


@dataclass(frozen=True)
class Distribution(Count):
    """Something that is measured. buckets: upper bounds, rising; one without a bound follows."""

    buckets: tuple[float, ...]

    def bucket_field(self, value: float, *values: str) -> str:
        """The field of the bucket that `value` falls into."""
        bound = next((bound for bound in self.buckets if value <= bound), None)
        return f"{self.field_of(*values)}|{'+Inf' if bound is None else bound}"

    def sum_field(self, *values: str) -> str:
        """The field of the sum."""
        return f"{self.field_of(*values)}|{SUM}"


# counted by the scripts of service.jobs.scripts, in the step that changes the job: once, whoever dies
JOBS_ACCEPTED: Final = Count("adis_jobs_accepted", "Jobs taken in.", ("kind",), known=_KINDS)
JOBS_ENDED: Final = Count(
    "adis_jobs_ended",
    "Jobs ended. reason: type of the problem of a failed one, else `none`.",
    ("kind", "state", "reason"),
    known=tuple((*kind, *end) for kind in _KINDS for end in _ENDS),
)
JOBS_LOST: Final = Count("adis_jobs_lost", "Times that a job lost its worker.", ("kind",), known=_KINDS)

# counted by workers
RESULTS: Final = Count("adis_results", "Results stored.", ("kind",), known=_KINDS)
FRAMES: Final = Count("adis_frames", "Frames of videos restyled.", (), known=((),))
WAIT_SECONDS: Final = Distribution(
    "adis_job_wait_seconds", "From the job's arrival until a worker took it.", ("kind",), _JOB_SECONDS
)
WORK_SECONDS: Final = Distribution(
    "adis_job_work_seconds", "From a worker's taking the job to its end.", ("kind",), _JOB_SECONDS
)
STAGE_SECONDS: Final = Distribution(
    "adis_stage_seconds", "Time in one stage of the work, without the stages inside it.", ("kind", "stage"), _SECONDS
)
BATCH_SIZE: Final = Distribution(
    "adis_batch_size", "Inputs of one run of a graph.", ("stage",), (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
)

COUNTED: Final[tuple[Count, ...]] = (
    JOBS_ACCEPTED,
    JOBS_ENDED,
    JOBS_LOST,
    RESULTS,
    FRAMES,
    WAIT_SECONDS,
    WORK_SECONDS,
    STAGE_SECONDS,
    BATCH_SIZE,
)
