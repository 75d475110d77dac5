"""Keep a restyled video from flickering, and measure how much it does.

What the sound changes in a frame is carried along the video's own motion: the change of the frame before, moved by the
optical flow between the two, is blended into that of this frame wherever both frames show the same thing. Flow: DIS
(Kroeger et al. 2016, OpenCV, preset "fast") on grey frames of the size that the model sees.

Flicker is measured as the warping error (Lai et al. 2018): the mean absolute difference of neighbouring frames along
the *input's* flow, where the flow there and back agrees (Sundaram et al. 2010).
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

MEMORY_SECONDS: Final = 0.25  # after which a change's share in what is shown has fallen to 1/e
_SAME: Final = 0.06  # difference of two frames (0..1) along the flow at which they are half taken for the same thing
_MEASURE_EVERY: Final = 8  # frames


class Flow:
    """Optical flow between grey frames [h, w] of 0..255; holds buffers, so one for each thread."""

    def __init__(self) -> None:
        self._dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)

    def between(self, here: NDArray[np.uint8], there: NDArray[np.uint8]) -> FloatArray:
        """[h, w, 2]: for each pixel of `here`, how far (x, y) it lies from its place in `there`."""
        # its stubs forget that None is what asks for a new array; another array would be taken for a first guess
        flow: FloatArray = self._dis.calc(here, there, None)  # type: ignore[call-overload]
        return flow


def warp(planes: FloatArray, flow: FloatArray) -> FloatArray:
    """[h, w, C] of the other frame as seen from this one; beyond the edge its last pixels."""
    place = flow + _grid(*flow.shape[:2])
    moved: FloatArray = cv2.remap(  # type: ignore[call-overload]  # its stubs forget that the second map may be None
        planes, place, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return moved


@lru_cache(maxsize=4)
def _grid(height: int, width: int) -> FloatArray:
    """[height, width, 2]: each pixel's own (x, y)."""
    rows, columns = np.indices((height, width), dtype=np.float32)
    return np.stack([columns, rows], axis=2)


def grey(small: FloatArray) -> NDArray[np.uint8]:
    """[h, w, 3] in 0..1 -> [h, w] of 0..255."""
    return np.asarray(cv2.cvtColor((small * 255).astype(np.uint8), cv2.COLOR_RGB2GRAY), np.uint8)


@dataclass(frozen=True)
class _Moment:
    seconds: float
    small: FloatArray
    grey: NDArray[np.uint8]
    change: FloatArray


class TemporalSmoother:
    """Blends each frame's change with the one before, along the motion; frames come in order."""

    def __init__(self) -> None:
        self._flow = Flow()
        self._before: _Moment | None = None

    def smooth(self, seconds: float, small: FloatArray, change: FloatArray) -> FloatArray:
        """`change` [h, w, 3] to the frame `small` [h, w, 3] in 0..1, shown at `seconds` -> the change to be shown."""
        shade, before = grey(small), self._before
        if before is not None and before.small.shape == small.shape:
            flow = self._flow.between(shade, before.grey)
            moved = warp(np.concatenate([before.change, before.small], axis=2), flow)  # [h, w, 6]
            differs = np.abs(moved[:, :, 3:] - small).mean(axis=2, keepdims=True)
            same = 1 / (1 + np.square(np.square(differs * np.float32(1 / _SAME))))
            memory = np.float32(np.exp(-max(0.0, seconds - before.seconds) / MEMORY_SECONDS))
            change = change + (memory * same) * (moved[:, :, :3] - change)
        self._before = _Moment(seconds, small, shade, change)
        return change


class FlickerMeter:
    """Warping errors along the video's flow, on every eighth pair of frames.

    errors: of the input and of the result, in levels of 255.
    """

    def __init__(self) -> None:
        self._flow = Flow()
        self._before: tuple[FloatArray, NDArray[np.uint8]] | None = None
        self._frames = 0
        self.errors: list[tuple[float, float]] = []

    def push(self, small: FloatArray, shown: FloatArray) -> None:
        """A frame and its result, [h, w, 3] in 0..1 each; frames in order."""
        number = self._frames % _MEASURE_EVERY
        self._frames += 1
        if number == 0:
            self._before = (np.concatenate([small, shown], axis=2), grey(small))
        elif number == 1 and self._before is not None:
            all_before, shade_before = self._before
            shade = grey(small)
            flow, back = self._flow.between(shade, shade_before), self._flow.between(shade_before, shade)
            returned = flow + warp(back, flow)
            length = np.square(flow).sum(axis=2) + np.square(warp(back, flow)).sum(axis=2)
            clear = np.square(returned).sum(axis=2) < 0.01 * length + 0.5
            if clear.mean() > 0.1:
                moved = warp(all_before, flow)
                differences = np.abs(moved - np.concatenate([small, shown], axis=2))[clear] * 255  # [n, 6]
                self.errors.append((float(differences[:, :3].mean()), float(differences[:, 3:].mean())))
