"""What FastAPI cannot see in the code and the OpenAPI page should show: the form, the events, the bytes."""

from typing import Any, Final

from service.api.problems import MEDIA_TYPE
from service.media.image_kind import MEDIA_TYPES
from service.schemas.documents import Job, Problem
from service.schemas.requests import ImageRequest, VideoRequest
from service.webhooks.request import FIELDS as WEBHOOK_FIELDS

MAX_IDEMPOTENCY_KEY_LENGTH: Final = 255

_PROBLEM_CONTENT: Final = {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{Problem.__name__}"}}}
_BYTES: Final = {"schema": {"type": "string", "format": "binary"}}
_FILE_FIELDS: Final = ("image", "audio", "video")
_FILE: Final = {"type": "string", "format": "binary"}
_SOUND: Final = "WAV, MP3, Ogg, FLAC, M4A, AAC, AIFF, CAF, WMA, AMR, AC-3, AU, WebM"
_IMAGE_CONTENT: Final = dict.fromkeys(MEDIA_TYPES.values(), _BYTES)
_VIDEO_CONTENT: Final = dict.fromkeys(("video/mp4", "video/webm"), _BYTES)

_STATUSES: Final = {
    401: "An API key is needed, and none that is valid came",
    403: "A page of another origin asks, in a visitor's browser",
    404: "No such job, result or upload, or it has expired, or it is another key's",
    408: "The upload stopped arriving",
    409: "The job's state does not allow it",
    413: "Too many bytes, pixels or seconds",
    415: "Not an image, sound or video of a kind that is taken",
    421: "The Host header is not a name of this service",
    422: "A value or file cannot be used; `field` names it",
    429: "The key or address asks too often, or the key has too many jobs; Retry-After says when to come back",
    503: "The queue is full, or no worker is there; Retry-After says when to come back",
}

PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    status: {"description": description, "content": _PROBLEM_CONTENT} for status, description in _STATUSES.items()
}


def _upload_id(field: str) -> dict[str, Any]:
    """The field that names an upload in place of the file `field`."""
    return {
        "type": "string",
        "pattern": "^([0-9a-f]{64}|example:[a-z-]{1,32})$",
        "description": f"id of an upload or an example, instead of `{field}`",
    }


_AUDIO_IDS: Final = {
    "type": "array",
    "items": _upload_id("audio"),
    "minItems": 1,
    "description": "ids of uploads or examples, instead of `audio`",
}


def _form(files: dict[str, Any], model: type[ImageRequest] | type[VideoRequest]) -> dict[str, Any]:
    """A multipart form: files, or ids of uploads instead, and the fields of the request's model."""
    fields = {**files, **model.model_json_schema()["properties"], **WEBHOOK_FIELDS}
    without_files = {name: schema for name, schema in fields.items() if name not in _FILE_FIELDS}
    content = {
        "multipart/form-data": {"schema": {"type": "object", "properties": fields}},
        "application/x-www-form-urlencoded": {"schema": {"type": "object", "properties": without_files}},
    }
    return {"required": True, "content": content}


def _header(name: str, description: str, **schema: Any) -> dict[str, Any]:
    schema = {"type": "string", **schema}
    return {"name": name, "in": "header", "required": False, "description": description, "schema": schema}


_KEY: Final = _header(
    "Idempotency-Key",
    "the same key with the same request gives the same job",
    minLength=1,
    maxLength=MAX_IDEMPOTENCY_KEY_LENGTH,
)


STYLIZE: Final[dict[str, Any]] = {
    "openapi_extra": {
        "requestBody": _form(
            {
                "image": _FILE | {"description": "JPEG, PNG, WebP, HEIC, AVIF, TIFF, BMP or GIF (not animated)"},
                "image_id": _upload_id("image"),
                "audio": {"type": "array", "items": _FILE, "minItems": 1, "description": _SOUND},
                "audio_id": _AUDIO_IDS,
            },
            ImageRequest,
        ),
        "parameters": [
            _header("Prefer", "`wait=N`: hold the answer until the job ends, or N seconds (60 at most) have passed"),
            _header("Accept", "`image/*`: the answer is the image itself; waits 30 s if Prefer says nothing else"),
            _KEY,
        ],
    },
    "responses": {
        200: {
            "description": "The job has ended: the image, or the job",
            "model": Job,
            "content": _IMAGE_CONTENT,
        },
        202: {"description": "The job is queued; Location says where to look"},
    },
}

STYLIZE_VIDEO: Final[dict[str, Any]] = {
    "openapi_extra": {
        "requestBody": _form(
            {
                "video": _FILE | {"description": "MP4, MOV, MKV, WebM, MPEG-TS or AVI"},
                "video_id": _upload_id("video"),
                "image": _FILE | {"description": "instead of a video: an image that follows the sound, which it needs"},
                "image_id": _upload_id("image"),
                "audio": _FILE | {"description": f"a second sound to mix in, or the sound of an image: {_SOUND}"},
                "audio_id": _upload_id("audio"),
            },
            VideoRequest,
        ),
        "parameters": [
            _header("Prefer", "`wait=N`: hold the answer until the job ends, or N seconds (60 at most) have passed"),
            _header("Accept", "`video/*`: the answer is the video itself; waits 30 s if Prefer says nothing else"),
            _KEY,
        ],
    },
    "responses": {
        200: {"description": "The job has ended: the video, or the job", "model": Job, "content": _VIDEO_CONTENT},
        202: {"description": "The job is queued; Location says where to look"},
    },
}

UPLOAD: Final[dict[str, Any]] = {
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "required": ["file"],
                        "properties": {"file": _FILE | {"description": "an image, an audio clip or a video"}},
                    }
                }
            },
        }
    },
    "responses": {
        200: {"description": "The same file is kept already, and now for longer"},
        201: {"description": "The file is kept; Location says where it is described"},
    },
}

EXAMPLE_FILE: Final[dict[str, Any]] = {
    "responses": {
        200: {"description": "The file", "content": {"image/jpeg": _BYTES, "audio/mp4": _BYTES}},
        206: {"description": "The range that was asked for"},
    }
}

EVENTS: Final[dict[str, Any]] = {
    "responses": {
        200: {"description": "`state` and `progress` events; data: JSON with id, state, progress and error"},
        204: {"description": "The job has ended, and there was nothing more to tell"},
    }
}

RESULT: Final[dict[str, Any]] = {
    "responses": {
        200: {"description": "The whole result", "content": _IMAGE_CONTENT | _VIDEO_CONTENT},
        206: {"description": "The range that was asked for"},
        307: {"description": "Location is a link to the result in the bucket, good for 15 minutes"},
        304: {"description": "The copy that If-None-Match names is still good"},
        416: {"description": "The range lies beyond the result", "content": _PROBLEM_CONTENT},
    }
}
