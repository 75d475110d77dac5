"""What a client prefers: how long it waits (`Prefer`, RFC 7240) and whether it wants the result itself (`Accept`)."""

import re
from dataclasses import dataclass
from typing import Final, Literal

from service.media.image_kind import MEDIA_TYPES, ImageFormat

RESULT_WAIT_SECONDS: Final = 30.0  # `Accept: image/*` or `video/*` alone

_FORMATS: Final[dict[str, ImageFormat]] = {media_type: format for format, media_type in MEDIA_TYPES.items()}
_JSON: Final = frozenset({"application/json", "application/*", "application/problem+json"})
_WAIT: Final = re.compile(r"""wait\s*=\s*"?(\d{1,6})"?\s*(?:;.*)?""", re.IGNORECASE)


@dataclass(frozen=True)
class Preferences:
    """wait_seconds: how long to hold the answer, None if `Prefer` names no wait. result: the answer is to be one.

    format: of the image, as far as `Accept` says.
    """

    wait_seconds: float | None
    result: bool
    format: ImageFormat | None

    @property
    def patience_seconds(self) -> float:
        """How long the answer is held at most."""
        if self.wait_seconds is not None:
            return self.wait_seconds
        return RESULT_WAIT_SECONDS if self.result else 0.0


def read_preferences(
    prefer: str | None, accept: str | None, max_wait_seconds: float, kind: Literal["image", "video"] = "image"
) -> Preferences:
    """Read both headers; what they say beside what is known here is ignored, as their standards want.

    kind: of the results that there will be.
    """
    ranges = _accepted(accept or "")
    images = {name: quality for name, quality in ranges.items() if name.startswith(f"{kind}/") and quality > 0}
    best = max(images.values(), default=0.0)
    other = max((ranges[name] for name in _JSON & ranges.keys()), default=0.0)
    known = sorted((name for name in images if name in _FORMATS), key=lambda name: -images[name])
    return Preferences(
        wait_seconds=_wait(prefer or "", max_wait_seconds),
        result=best > other,
        format=_FORMATS[known[0]] if known and images[known[0]] >= images.get("image/*", 0) else None,
    )


def _wait(prefer: str, most: float) -> float | None:
    for part in prefer.split(","):
        if match := _WAIT.fullmatch(part.strip()):
            return min(float(match[1]), most)
    return None


def _accepted(accept: str) -> dict[str, float]:
    """Media range -> quality 0..1, in the header's order."""
    ranges: dict[str, float] = {}
    for part in accept.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = next((value[2:] for value in parameters if value.startswith("q=")), "1")
        try:
            ranges.setdefault(name, min(max(float(quality), 0.0), 1.0))
        except ValueError:
            ranges.setdefault(name, 1.0)
    return ranges
