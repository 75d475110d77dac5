"""Make a video of an image and a sound: the image, as long as the sound lasts, losslessly, to be worked on further."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
from numpy.typing import NDArray

from service.errors import TooLarge
from service.media.audio_blocks import AudioBlocks
from service.media.audio_file import open_audio
from service.media.image_reader import ImageHeader, ReadPlan, read_image
from service.media.image_reduce import visible_colors
from service.media.limits import MediaLimits
from service.media.video_format import ITU709, LIMITED_RANGE, SAME_SIZE

STILL_FPS: Final = 15  # the sound's course is known twice a second, and what lies between is linear
STILL_SIDE: Final = 1920  # longest side, where none is asked for

_OPEN_SECONDS: Final = 3600.0
_KEY_FRAME_SECONDS: Final = 4
_LEAST_SIDE: Final = 16


def write_still_video(image: Path, audio: Path, target: Path, limits: MediaLimits, max_side: int) -> Iterator[int]:
    """Write the video, in Matroska; yields the number of its frames so far, about once a second of sound.

    Raises UnsupportedMedia, MediaError and TooLarge for a bad image or sound.
    """
    pixels = _pixels(image, limits, max_side)
    with (
        open_audio(audio, limits, _OPEN_SECONDS) as sound,
        av.open(str(target), "w", format="matroska") as output,
    ):
        rate, frames, samples = sound.sample_rate_hz, 0, 0
        video = _add_video(output, pixels.shape[1], pixels.shape[0])
        picture = _frame(pixels)
        track: Any = None

        def show_until(seconds: float) -> None:
            nonlocal frames
            while frames < seconds * STILL_FPS:
                picture.pts, picture.time_base = frames, Fraction(1, STILL_FPS)
                output.mux(video.encode(picture))
                frames += 1

        for _, block in AudioBlocks(sound, limits, rate):
            if not block.shape[1]:
                continue
            layout = "mono" if block.shape[0] == 1 else "stereo"
            if track is None:
                track = output.add_stream("pcm_s24le", rate=rate, layout=layout)
            whole = np.clip(np.rint(block.T.astype(np.float64) * 2**31), -(2**31), 2**31 - 1).astype(np.int32)
            frame = av.AudioFrame.from_ndarray(whole.reshape(1, -1), format="s32", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, samples, Fraction(1, rate)
            output.mux(track.encode(frame))
            samples += block.shape[1]
            if samples / rate > limits.max_video_seconds:
                raise TooLarge(f"the sound is longer than {limits.max_video_seconds:g} s; cut it", field="audio")
            show_until(samples / rate)
            yield frames
        show_until(max(samples / rate, 1 / STILL_FPS))
        output.mux(video.encode(None))
        if track is not None:
            output.mux(track.encode(None))
    yield frames


def _pixels(path: Path, limits: MediaLimits, max_side: int) -> NDArray[np.uint8]:
    """[H, W, 3], upright, in sRGB, H and W even."""
    plan = ReadPlan(format="png", metadata="strip", max_side=max_side, limit_side=max_side, model_side=max_side)
    header, pixels = read_image(path, limits, plan)
    assert isinstance(header, ImageHeader)
    assert isinstance(pixels, np.ndarray)
    shown = visible_colors(pixels)
    if shown.dtype == np.uint16:
        shown = (shown >> 8).astype(np.uint8)
    height, width = (max(_LEAST_SIDE, side - side % 2) for side in shown.shape[:2])
    missing = [(0, max(0, height - shown.shape[0])), (0, max(0, width - shown.shape[1])), (0, 0)]
    return np.ascontiguousarray(np.pad(shown, missing, mode="edge")[:height, :width])


def _add_video(output: Any, width: int, height: int) -> Any:
    options = {"qp": "0", "preset": "ultrafast", "g": str(_KEY_FRAME_SECONDS * STILL_FPS)}
    stream = output.add_stream("libx264", rate=STILL_FPS, options=options)
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv444p"
    context = stream.codec_context
    context.color_range, context.colorspace, context.color_primaries, context.color_trc = (
        LIMITED_RANGE, ITU709, ITU709, ITU709,
    )  # fmt: skip
    return stream


def _frame(pixels: NDArray[np.uint8]) -> Any:
    frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(
        format="yuv444p", dst_colorspace=ITU709, dst_color_range=LIMITED_RANGE, interpolation=SAME_SIZE, threads=1
    )
    frame.colorspace, frame.color_range = ITU709, LIMITED_RANGE
    frame.color_primaries, frame.color_trc = ITU709, ITU709
    return frame
