"""The report of what the model heard, a part of every result: written by the workers, shown by the API."""

from typing import Literal

from pydantic import BaseModel, ConfigDict


class NearSound(BaseModel):
    """A sound of the manifest and how near the heard one is. score: cosine, -1..1; known: whether it is a scene."""

    model_config = ConfigDict(frozen=True)

    name: str
    score: float
    known: bool = True


class SoundWarning(BaseModel):
    """Something about the sound that may explain a poor result."""

    model_config = ConfigDict(frozen=True)

    code: Literal["silence", "clipping", "speech", "unfamiliar", "incomplete", "start"]
    detail: str


class HeardWindow(BaseModel):
    """The part of one sound that was used, in seconds of the sound as given."""

    model_config = ConfigDict(frozen=True)

    start_seconds: float
    length_seconds: float


class Heard(BaseModel):
    """What the model heard: one window of each sound, mixed; loudness and peak are those after the gain.

    effect: length of the embedding, 0 (silence) towards 1. speech_share: 0..1, None without a speech detector.
    """

    model_config = ConfigDict(frozen=True)

    windows: tuple[HeardWindow, ...]
    loudness_dbfs: float
    peak: float
    effect: float
    nearest: tuple[NearSound, ...]
    speech_share: float | None
    warnings: tuple[SoundWarning, ...]
