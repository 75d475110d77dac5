"""Put the channels of a soundtrack into a layout that encoders and players know, each at its own place.

Channels were once told apart by their number alone: of 2.1 the low-frequency effects became the centre, and of four
corners the rear ones the centre and the rear centre.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import av
import numpy as np
from numpy.typing import NDArray

Block = NDArray[np.float32]

LAYOUTS: Final = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 8: "7.1"}
_HALF_POWER: Final = 0.5**0.5
# where a channel goes if the layout does not have its own place
_OTHERWISE: Final = {"SL": ("BL",), "SR": ("BR",), "BL": ("SL",), "BR": ("SR",), "BC": ("BL", "BR")}


@dataclass(frozen=True)
class Places:
    """layout: libav's name. weights: (row of the layout, channel, gain), one or two for each channel."""

    layout: str
    weights: tuple[tuple[int, int, float], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The places of the layout."""
        return names_of(self.layout)

    def apply(self, block: Block) -> Block:
        """[C, n] -> [rows, n]; what no channel goes to is silent."""
        rows = len(self.names)
        if self.weights == tuple((number, number, 1.0) for number in range(rows)):
            return block
        placed = np.zeros((rows, block.shape[1]), np.float32)
        for row, channel, gain in self.weights:
            placed[row] += np.float32(gain) * block[channel]
        return placed


def places_for(names: Sequence[str]) -> Places | None:
    """For channels with these names (FFmpeg's); None if no layout has a place for each of them.

    Channels that the file does not name are taken in the order of the layout of as many.
    """
    known = {place for layout in LAYOUTS.values() for place in names_of(layout)} | _OTHERWISE.keys()
    if len(names) == 1 or not any(name in known for name in names):
        layout = LAYOUTS.get(len(names))
        return None if layout is None else Places(layout, tuple((number, number, 1.0) for number in range(len(names))))
    for shares in (False, True):
        for layout in LAYOUTS.values():
            weights = _weights(names, names_of(layout))
            if weights is not None and (shares or len({row for row, _, _ in weights}) == len(weights)):
                return Places(layout, weights)
    return None


def _weights(names: Sequence[str], places: Sequence[str]) -> tuple[tuple[int, int, float], ...] | None:
    found: list[tuple[int, int, float]] = []
    for channel, name in enumerate(names):
        rows = (name,) if name in places else _OTHERWISE.get(name, ())
        if not rows or any(row not in places for row in rows):
            return None
        found += [(places.index(row), channel, 1.0 if len(rows) == 1 else _HALF_POWER) for row in rows]
    return tuple(found)


@cache
def names_of(layout: str) -> tuple[str, ...]:
    """The places of libav's layout, in its order."""
    return tuple(channel.name for channel in av.AudioLayout(layout).channels)
