"""The kinds of jobs."""

from typing import Literal

Kind = Literal["image", "video", "preview"]  # a preview is of a video, and quick
