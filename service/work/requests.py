"""What a client may ask of one picture job, validated once and carried with the job."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

MIN_GAIN_DB, MAX_GAIN_DB = -60.0, 24.0

GainDb = Annotated[float, Field(ge=MIN_GAIN_DB, le=MAX_GAIN_DB, allow_inf_nan=False)]


class PictureRequest(BaseModel):
    """The parameters of `POST /stylize` beside its files.

    gain_db: dB relative to the sound as given. gains_db: one result for each, instead of gain_db.
    strength: 0 returns the picture unchanged, 1 is the whole effect.
    start_seconds: where the window of the sound starts; None takes the loudest.
    weights: one for each sound, not negative, not all zero; None weighs them equally.
    max_side: pixels of the longest side of the result; None keeps the picture's (up to the service's own limit).
    format: file format of the results. model: name of a bundle; None takes the service's default.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    gain_db: GainDb = 0.0
    gains_db: Annotated[tuple[GainDb, ...], Field(min_length=1)] | None = None
    strength: float = Field(default=1.0, ge=0.0, le=1.0, allow_inf_nan=False)
    start_seconds: float | None = Field(default=None, ge=0.0, allow_inf_nan=False)
    weights: tuple[Annotated[float, Field(ge=0.0, allow_inf_nan=False)], ...] | None = None
    max_side: int | None = Field(default=None, ge=64, le=4096)
    format: Literal["png", "jpeg", "webp"] = "png"
    model: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")

    @field_validator("weights")
    @classmethod
    def _some_weight(cls, weights: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if weights is not None and not sum(weights) > 0:
            raise ValueError("at least one weight must be above 0")
        return weights

    @model_validator(mode="after")
    def _one_way_of_gain(self) -> "PictureRequest":
        if self.gains_db is not None and "gain_db" in self.model_fields_set and self.gain_db != 0.0:
            raise ValueError("send gain_db or gains_db, not both")
        return self

    @property
    def gains(self) -> tuple[float, ...]:
        """The gain of each result in dB, at least one."""
        return self.gains_db if self.gains_db is not None else (self.gain_db,)
