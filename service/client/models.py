"""What a service answers, as far as a client uses it; further members of the documents are kept beside these."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from service.heard import Heard


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow", protected_namespaces=())


class Upload(_Document):
    """A file that the service keeps. usable_as: `image_id`, `audio_id` or `video_id`, or several of them."""

    id: str
    kind: Literal["image", "audio", "video"]
    usable_as: tuple[str, ...]
    bytes: int
    file_name: str


class Progress(_Document):
    """How far a job is."""

    done: int
    total: int
    unit: str


class Warning(_Document):
    """Something that may explain a poor result."""

    code: str
    detail: str


class Result(_Document):
    """One result. receipt: everything that is needed to make it again."""

    url: str
    file_name: str
    media_type: str
    bytes: int
    sha256: str
    width: int
    height: int
    gain_db: float
    heard: Heard
    receipt: dict[str, Any]


class Job(_Document):
    """A job. error: the problem document of one that failed. estimated_seconds: of one that waits, if that is known."""

    id: str
    url: str
    state: Literal["queued", "running", "succeeded", "failed", "cancelled"]
    progress: Progress
    warnings: tuple[Warning, ...]
    results: tuple[Result, ...]
    error: dict[str, Any] | None
    estimated_seconds: float | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing will change any more."""
        return self.state not in ("queued", "running")


class Model(_Document):
    """A model of the service. sounds: the scenes that it knows."""

    name: str
    version: str
    sounds: tuple[str, ...]
    default: bool
