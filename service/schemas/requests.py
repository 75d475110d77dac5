"""What a client may ask of a job, validated once and carried with the job."""

from itertools import pairwise
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from service.media.image_kind import ImageFormat

MIN_GAIN_DB, MAX_GAIN_DB = -60.0, 24.0

MODEL_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"

GainDb = Annotated[float, Field(ge=MIN_GAIN_DB, le=MAX_GAIN_DB, allow_inf_nan=False)]
PREVIEW_STEPS_DB: Final = (-12.0, -6.0, 0.0, 6.0, 12.0)  # around the gain that a video is to have

MAX_SECONDS: Final = 1e6  # longer than anything that is taken, and far from where sums of numbers overflow
MIN_WEIGHTS, MAX_WEIGHT = 1e-6, 1e6

Seconds = Annotated[float, Field(ge=0.0, le=MAX_SECONDS, allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=0.0, le=MAX_WEIGHT, allow_inf_nan=False)]


class ImageRequest(BaseModel):
    """The parameters of `POST /stylize` beside its files.

    gain_db: dB relative to the sound as given. gains_db: one result for each, instead of gain_db.
    strength: 0 returns the image unchanged, 1 is the whole effect.
    start_seconds: where the window of the sound starts; None takes the loudest.
    weights: one for each sound, not negative, not all zero; None weighs them equally.
    max_side: pixels of the longest side of the result; None keeps the image's (up to the service's own limit).
    format: file format of the results; None takes the input's kind. metadata: what of the input's the results keep.
    color_profile: whether results are in sRGB or in the input's own colors.
    model: name of a bundle; None takes the service's default.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    gain_db: GainDb = 0.0
    gains_db: Annotated[tuple[GainDb, ...], Field(min_length=1)] | None = None
    strength: float = Field(default=1.0, ge=0.0, le=1.0, allow_inf_nan=False)
    start_seconds: Seconds | None = None
    weights: tuple[Weight, ...] | None = None
    max_side: int | None = Field(default=None, ge=64, le=65_500)
    format: ImageFormat | None = None
    metadata: Literal["keep", "strip", "no-location"] = "no-location"
    color_profile: Literal["srgb", "input"] = "srgb"
    model: str | None = Field(default=None, pattern=MODEL_NAME)

    @field_validator("weights")
    @classmethod
    def _some_weight(cls, weights: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if weights is not None and not sum(weights) >= MIN_WEIGHTS:
            raise ValueError(f"the weights must add up to {MIN_WEIGHTS:g} at least")
        return weights

    @model_validator(mode="after")
    def _one_way_of_gain(self) -> "ImageRequest":
        if self.gains_db is not None and "gain_db" in self.model_fields_set and self.gain_db != 0.0:
            raise ValueError("send gain_db or gains_db, not both")
        return self

    @property
    def gains(self) -> tuple[float, ...]:
        """The gain of each result in dB, at least one."""
        return self.gains_db if self.gains_db is not None else (self.gain_db,)


class VideoRequest(BaseModel):
    """The parameters of `POST /stylize/video` beside its files.

    gain_db: dB relative to the soundtrack as given. automation: [[seconds, dB], ...] instead, linear between the
    points, held before the first and after the last. audio_gain_db: of the second sound, if one is mixed in.
    strength: 0 leaves the images unchanged, 1 is the whole effect. smoothing_seconds: over how long the sound's
    effect is averaged around each moment. max_side: pixels of the longest side of the result; None keeps the video's.
    allow_partial: take a file that breaks off, up to where it does. metadata: what of the video's the result keeps.
    model: name of a bundle; None takes the default.
    falling: ignored; accepted for one version, with a warning in the job.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    gain_db: GainDb = 0.0
    automation: Annotated[tuple[tuple[Seconds, GainDb], ...], Field(min_length=1, max_length=1000)] | None = None
    audio_gain_db: GainDb = 0.0
    strength: float = Field(default=1.0, ge=0.0, le=1.0, allow_inf_nan=False)
    smoothing_seconds: float = Field(default=0.5, ge=0.0, le=30.0, allow_inf_nan=False)
    max_side: int | None = Field(default=None, ge=64, le=4096)
    allow_partial: bool = False
    metadata: Literal["keep", "strip", "no-location"] = "no-location"
    model: str | None = Field(default=None, pattern=MODEL_NAME)
    falling: bool | None = Field(default=None, deprecated="it is ignored, and refused from the next version on")

    @field_validator("automation")
    @classmethod
    def _in_order(cls, points: tuple[tuple[float, float], ...] | None) -> tuple[tuple[float, float], ...] | None:
        if points is not None and any(later[0] <= earlier[0] for earlier, later in pairwise(points)):
            raise ValueError("the points' seconds must increase")
        return points

    @model_validator(mode="after")
    def _one_way_of_gain(self) -> "VideoRequest":
        if self.automation is not None and self.gain_db != 0.0:
            raise ValueError("send gain_db or automation, not both")
        return self

    @property
    def gain_points(self) -> tuple[tuple[float, float], ...]:
        """The soundtrack's gain over time: (seconds, dB)."""
        return self.automation if self.automation is not None else ((0.0, self.gain_db),)


class PreviewRequest(VideoRequest):
    """The same for one frame of it. at_seconds: which one; None takes the middle of the video."""

    at_seconds: Seconds | None = None
