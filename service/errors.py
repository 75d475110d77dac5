"""Every error that the service raises on purpose, each with its HTTP status and its problem document (RFC 9457).

StylizationError
├── MissingField           422  a required part of the request is absent
├── InvalidValue           422  a value is out of range or malformed
├── ModelNotFound          422  no bundle of that name is installed
├── MediaError             422  the right kind of file, but damaged, too short or not finite
├── IdempotencyMismatch    422  the same key came with another request
├── UnsupportedMedia       415  not an image or sound of a kind that is taken
├── TooLarge               413  too many bytes, pixels or seconds
├── UploadStalled          408  the request's body stopped arriving
├── RangeNotSatisfiable    416  the result has no such bytes
├── Unauthorized           401  a key is needed, and none that is valid came
├── TooManyRequests        429  the key or address asks too often, or has too many jobs at once (Retry-After)
├── ForeignOrigin          403  a page of another origin asks, in a visitor's browser
├── UntrustedHost          421  the Host header is not a name of this service
├── JobNotFound            404  no such job, or it has expired
├── UploadNotFound         404  no such upload, or it has expired
├── ExampleNotFound        404  no such example
├── ResultNotFound         404  the job has no such result
├── Conflict               409  the job's state does not allow it
├── QueueFull              503  try again later (Retry-After)
├── Unavailable            503  a part of the service does not answer (Retry-After)
│   └── StorageUnavailable 503  the object store does not answer; a job that meets that waits, and does not fail
├── LostTooOften           500  the job took several workers down with it
├── BundleError            500  a model bundle is damaged or of another format: refused at start-up
└── ProviderError          500  no wanted execution provider loads: refused at start-up
"""

from collections.abc import Mapping
from typing import Any, ClassVar


class StylizationError(Exception):
    """The root: `detail` says what is wrong and what to do, in words that a client may read.

    field: name of the request's field that is at fault, if one is.
    retry_after: seconds after which trying again makes sense, for 429 and 503.
    headers: that belong to every answer of this kind.
    """

    status: ClassVar[int] = 500
    type: ClassVar[str] = "internal"
    title: ClassVar[str] = "The service failed"
    headers: ClassVar[Mapping[str, str]] = {}

    def __init__(self, detail: str, *, field: str | None = None, retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field
        self.retry_after = retry_after

    def problem(self) -> dict[str, Any]:
        """The problem document (RFC 9457), ready for JSON."""
        document: dict[str, Any] = {
            "type": f"/problems/{self.type}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.field is not None:
            document["field"] = self.field
        return document


class MissingField(StylizationError):
    status = 422
    type = "missing-field"
    title = "A required field is missing"


class InvalidValue(StylizationError):
    status = 422
    type = "invalid-value"
    title = "A value cannot be used"


class ModelNotFound(StylizationError):
    status = 422
    type = "model-not-found"
    title = "No such model"


class MediaError(StylizationError):
    status = 422
    type = "damaged-media"
    title = "The image or sound cannot be used"


class IdempotencyMismatch(StylizationError):
    status = 422
    type = "idempotency-mismatch"
    title = "The idempotency key belongs to another request"


class UnsupportedMedia(StylizationError):
    status = 415
    type = "unsupported-media"
    title = "The file is of a kind that is not taken"


class TooLarge(StylizationError):
    status = 413
    type = "too-large"
    title = "The request is too large"


class UploadStalled(StylizationError):
    status = 408
    type = "upload-stalled"
    title = "The upload stopped arriving"


class RangeNotSatisfiable(StylizationError):
    status = 416
    type = "range-not-satisfiable"
    title = "The result has no such bytes"


class Unauthorized(StylizationError):
    status = 401
    type = "unauthorized"
    title = "An API key is needed"
    headers: ClassVar[Mapping[str, str]] = {"WWW-Authenticate": "Bearer"}


class TooManyRequests(StylizationError):
    status = 429
    type = "too-many-requests"
    title = "The limit of the key or address is reached"


class ForeignOrigin(StylizationError):
    status = 403
    type = "foreign-origin"
    title = "Pages of other origins may not ask"


class UntrustedHost(StylizationError):
    status = 421
    type = "untrusted-host"
    title = "The host is not a name of this service"


class JobNotFound(StylizationError):
    status = 404
    type = "job-not-found"
    title = "No such job"


class UploadNotFound(StylizationError):
    status = 404
    type = "upload-not-found"
    title = "No such upload"


class ExampleNotFound(StylizationError):
    status = 404
    type = "example-not-found"
    title = "No such example"


class ResultNotFound(StylizationError):
    status = 404
    type = "result-not-found"
    title = "No such result"


class Conflict(StylizationError):
    status = 409
    type = "conflict"
    title = "The job's state does not allow it"


class QueueFull(StylizationError):
    status = 503
    type = "queue-full"
    title = "The queue is full"


class Unavailable(StylizationError):
    status = 503
    type = "unavailable"
    title = "The service is not available"


class StorageUnavailable(Unavailable):
    type = "storage-unavailable"
    title = "The storage is not available"


class LostTooOften(StylizationError):
    type = "lost-too-often"
    title = "The job could not be completed"


class BundleError(StylizationError):
    type = "bundle"
    title = "A model bundle is refused"


class ProviderError(StylizationError):
    type = "provider"
    title = "No wanted execution provider loads"
