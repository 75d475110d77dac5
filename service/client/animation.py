"""Join pictures of one size into an animation: GIF, WebP or MP4, by the name of the file."""

import io
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
from PIL import Image

_FRAME_MS: Final = 160
_FRAMES_PER_SECOND: Final = Fraction(1000, _FRAME_MS)


def write_animation(path: Path, pictures: Sequence[bytes]) -> None:
    """Write the pictures, in their order; a file of that name is there whole or not at all.

    A GIF or WebP goes on for ever, there and back; an MP4 ends.
    """
    frames = [Image.open(io.BytesIO(picture)).convert("RGB") for picture in pictures]
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        if path.suffix.lower() == ".mp4":
            _write_mp4(partial, frames)
        else:
            there_and_back = frames + frames[-2:0:-1]
            more: dict[str, Any] = {"quality": 85} if path.suffix.lower() == ".webp" else {"optimize": True}
            there_and_back[0].save(
                partial, save_all=True, append_images=there_and_back[1:], duration=_FRAME_MS, loop=0, **more
            )
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _write_mp4(path: Path, frames: Sequence[Image.Image]) -> None:
    width, height = (side - side % 2 for side in frames[0].size)  # as H.264 wants
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as output:
        stream: Any = output.add_stream("libx264", rate=_FRAMES_PER_SECOND, options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in frames:
            output.mux(
                stream.encode(av.VideoFrame.from_ndarray(np.asarray(frame.crop((0, 0, width, height))), format="rgb24"))
            )
        output.mux(stream.encode(None))
