"""What the OpenAPI document says of each operation beside what the code says: a summary, an example, the tags."""

from typing import Any, Final

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

TAGS: Final = [
    {"name": "jobs", "description": "Hand in images, sounds and videos, follow their jobs, and fetch the results."},
    {"name": "uploads", "description": "Send a file once, and name it by its id in any number of jobs."},
    {"name": "examples", "description": "Images and sounds that the service makes itself, to try it with."},
    {"name": "service", "description": "The models, and whether the service and all that it needs answers."},
]

_JOB_ID: Final = "5f0c5f3c0b7c4b0d9a3c0d6f5e2b1a90"
_PHOTO_ID: Final = "1b4f0e9851971998e732078544c96b36c3d01cedf7caa332359d6f1d83567014"
_HEARD: Final = {
    "windows": [{"start_seconds": 2.5, "length_seconds": 3.0}],
    "loudness_dbfs": -24.2,
    "peak": 0.41,
    "effect": 0.86,
    "nearest": [{"name": "rain", "score": 0.97, "known": True}, {"name": "summer", "score": 0.07, "known": True}],
    "speech_share": 0.0,
    "warnings": [],
}
_RESULT: Final = {
    "url": f"/jobs/{_JOB_ID}/results/0",
    "media_type": "image/jpeg",
    "bytes": 183_042,
    "sha256": _PHOTO_ID,
    "width": 1200,
    "height": 800,
    "gain_db": -6.0,
    "heard": _HEARD,
    "receipt": {"model": "demo", "model_version": "1.0.0", "gain_db": -6.0, "strength": 1.0},
    "file_name": "photo-rain-6dB.jpg",
    "warnings": [],
}
QUEUED: Final[dict[str, Any]] = {
    "id": _JOB_ID,
    "url": f"/jobs/{_JOB_ID}",
    "state": "queued",
    "progress": {"done": 0, "total": 1, "unit": "results"},
    "created_at": "2026-01-01T12:00:00Z",
    "started_at": None,
    "finished_at": None,
    "expires_at": None,
    "warnings": [],
    "results": [],
    "error": None,
    "receipt": None,
    "seconds": {},
    "jobs_ahead": 2,
    "estimated_seconds": 1.2,
    "webhook": None,
}
FINISHED: Final[dict[str, Any]] = {
    **QUEUED,
    "state": "succeeded",
    "progress": {"done": 1, "total": 1, "unit": "results"},
    "started_at": "2026-01-01T12:00:00.4Z",
    "finished_at": "2026-01-01T12:00:01.1Z",
    "expires_at": "2026-01-02T12:00:01.1Z",
    "results": [_RESULT],
    "receipt": _RESULT["receipt"],
    "seconds": {"queued": 0.4, "decode": 0.1, "stylize": 0.5, "encode": 0.1},
    "jobs_ahead": None,
    "estimated_seconds": None,
}
UPLOAD: Final[dict[str, Any]] = {
    "id": _PHOTO_ID,
    "url": f"/uploads/{_PHOTO_ID}",
    "kind": "image",
    "usable_as": ["image_id"],
    "bytes": 2_481_334,
    "file_name": "photo.jpg",
    "expires_at": "2026-01-02T12:00:00Z",
    "image": {"format": "jpeg", "width": 4032, "height": 3024},
    "audio": None,
    "video": None,
}
_EXAMPLE: Final = {
    "id": "example:rain",
    "title": "Rain",
    "usable_as": "audio_id",
    "scene": "rain",
    "file_name": "rain.m4a",
    "media_type": "audio/mp4",
    "url": "/examples/rain.m4a",
}
_LAKE: Final = {
    **_EXAMPLE, "id": "example:lake", "title": "A mountain lake", "usable_as": "image_id", "scene": None,
    "file_name": "lake.jpg", "media_type": "image/jpeg", "url": "/examples/lake.jpg",
}  # fmt: skip
_MODEL: Final = {
    "name": "demo", "version": "1.0.0", "sha256": _PHOTO_ID, "license": "MIT", "clip_seconds": 3.0,
    "sample_rate_hz": 16_000, "native_size": 112, "size_multiple": 32, "training": {}, "default": True,
    "sounds": ["snow", "rain", "storm", "summer", "autumn", "night", "desert"],
    "provider": "cpu", "runtime": "onnxruntime 1.32.0",
}  # fmt: skip

# by the name of the function: the summary
SUMMARIES: Final = {
    "stylize": "Restyle an image by one to four sounds.",
    "stylize_video": "Edit the volume of a video's soundtrack, and have its frames follow.",
    "list_own_jobs": "List the jobs of one's own API key, newest first.",
    "read_job": "Look at a job: its state, its progress and its results.",
    "delete_job": "Cancel a job, or erase one that has ended.",
    "read_result": "Fetch one result of a job.",
    "follow_job": "Follow a job by server-sent events.",
    "upload_file": "Keep a file, to be named by its id in any number of jobs.",
    "read_upload": "Look at an upload, and whether it is still kept.",
    "delete_upload": "Erase an upload that is needed no more.",
    "list_examples": "List the example images and sounds.",
    "read_example": "Fetch the file of an example.",
    "list_models": "List the models, with the scenes that each knows.",
    "is_alive": "Ask whether the process lives.",
    "is_ready": "Ask whether the service and all that it needs answers.",
    "read_metrics": "Read the metrics in Prometheus's text format.",
}
# by operation: values of a form
FORMS: Final[dict[str, dict[str, Any]]] = {
    "stylize": {"image_id": "example:lake", "audio_id": ["example:rain"], "gain_db": -6},
    "stylize_video": {"image_id": "example:lake", "audio_id": "example:wind", "gain_db": 6},
}
# by operation and status: a document
ANSWERS: Final[dict[str, dict[str, Any]]] = {
    "stylize": {"200": FINISHED, "202": QUEUED},
    "stylize_video": {"200": FINISHED, "202": QUEUED},
    "list_own_jobs": {"200": {"jobs": [FINISHED], "next_cursor": None}},
    "read_job": {"200": FINISHED},
    "upload_file": {"201": UPLOAD},
    "read_upload": {"200": UPLOAD},
    "list_examples": {"200": {"images": [_LAKE], "sounds": [_EXAMPLE]}},
    "list_models": {"200": {"models": [_MODEL]}},
    "is_alive": {"200": {"status": "ok", "checks": {}}},
    "is_ready": {"200": {"status": "ready", "checks": {"redis": "ok", "storage": "ok", "worker": "1 on cpu"}}},
}
# by the name of a parameter in a path
PARAMETERS: Final = {"job_id": _JOB_ID, "index": "0", "upload_id": _PHOTO_ID, "file_name": "rain.m4a"}
_METRICS: Final = 'adis_jobs_accepted_total{kind="image"} 42.0\n'


def name_operations(router: APIRouter) -> APIRouter:
    """Give each operation its summary, and its function's name as its own."""
    for route in router.routes:
        if isinstance(route, APIRoute) and route.include_in_schema:
            route.operation_id = route.unique_id = route.name
            route.summary = SUMMARIES.get(route.name, route.summary)
    return router


def install_openapi(app: FastAPI) -> None:
    """Give the document its examples."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        is_new = app.openapi_schema is None
        document = plain()
        if is_new:
            for operations in document["paths"].values():
                for operation in operations.values():
                    _add_examples(operation)
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _add_examples(operation: dict[str, Any]) -> None:
    name = operation["operationId"]
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "path" and parameter["name"] in PARAMETERS:
            parameter["example"] = PARAMETERS[parameter["name"]]
    for content in operation.get("requestBody", {}).get("content", {}).values():
        if name in FORMS:
            content["example"] = FORMS[name]
    for status, document in ANSWERS.get(name, {}).items():
        content = operation["responses"][status].get("content", {})
        if "application/json" in content:
            content["application/json"]["example"] = document
    if name == "read_metrics":
        for content in operation["responses"]["200"].get("content", {}).values():
            content["example"] = _METRICS
