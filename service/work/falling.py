"""Let what falls, fall: a model may draw rain from a fixed field of streaks, which must move from frame to frame.

Such a bundle says which channels of `content` hold the field (`falling` in its manifest). The pictures are then made
without it, and steadied; the decoder says how much brighter a streak would make each pixel, and the field, moved down
its own slant, is laid over the steadied picture that much.
"""

from math import isqrt, radians, tan
from typing import Final

import numpy as np
from numpy.typing import NDArray

from service.model.engine import Engine

FloatArray = NDArray[np.float32]

_SPEED: Final = 900.0  # pixels a second, of the frames that the model sees
_FIELD_SIDE: Final = 256


class Falling:
    """The field of one engine's bundle; `is_there` is False where it has none."""

    def __init__(self, engine: Engine) -> None:
        self._falling = engine.manifest.falling
        self.is_there = self._falling is not None
        if self._falling is not None:
            channels = self._falling.channels
            content = engine.encode(np.zeros((1, 3, _FIELD_SIDE, _FIELD_SIDE), np.float32))
            fold, cells = isqrt(channels), content[0, -channels:]  # [fold * fold, h, w]
            rows, columns = cells.shape[1:]
            self._field = cells.reshape(fold, fold, rows, columns).transpose(2, 0, 3, 1).reshape(rows * fold, -1)

    def without(self, content: FloatArray) -> FloatArray:
        """`content` [B, C, h, w] with no streak in it."""
        assert self._falling is not None
        dry = content.copy()
        dry[:, -self._falling.channels :] = 0
        return dry

    def at(self, seconds: float, height: int, width: int) -> FloatArray:
        """The field [height, width, 1] as it has fallen by then."""
        assert self._falling is not None
        down = round(_SPEED * seconds)
        left = round(down * tan(radians(self._falling.slant_degrees)))
        rows = (np.arange(height) - down) % self._field.shape[0]
        columns = (np.arange(width) + left) % self._field.shape[1]
        return np.asarray(self._field[np.ix_(rows, columns)][:, :, None], np.float32)
