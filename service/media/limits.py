"""The bounds inside which foreign images, sounds and videos are opened."""

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from service.settings import Settings

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True)
class MediaLimits:
    """What is refused before it costs anything."""

    max_image_bytes: int = 50 * MEBIBYTE
    max_image_pixels: int = 120_000_000
    max_audio_bytes: int = 50 * MEBIBYTE
    max_audio_seconds: float = 86_400.0
    min_audio_seconds: float = 0.5
    max_decode_seconds: float = 60.0
    max_video_bytes: int = 2048 * MEBIBYTE
    max_video_seconds: float = 3600.0
    max_video_pixels: int = 4096 * 2304
    max_video_frames: int = 250_000
    max_video_fps: float = 240.0

    @classmethod
    def of(cls, settings: "Settings") -> "MediaLimits":
        """The bounds that the settings of the same names state."""
        return cls(**{field.name: getattr(settings, field.name) for field in fields(cls)})
