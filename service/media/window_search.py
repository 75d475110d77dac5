"""Find the loudest window of a sound that passes in blocks, in memory that does not grow with its length."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from service.media.downmix import mean_power

Block = NDArray[np.float32]

_HOP_SECONDS: Final = 0.01  # the loudest window is found to this
_LOUDER: Final = 1 + 1e-9  # of equal windows the first is taken


class LoudestWindow:
    """Takes blocks [K, n], and keeps the `clip_samples` with the most power among those that begin at each 10 ms.

    start: number of its first sample. samples: [K, clip_samples], or None until so much has come.
    """

    def __init__(self, clip_samples: int, rate_hz: int) -> None:
        self._clip = clip_samples
        self._hop = max(1, round(_HOP_SECONDS * rate_hz))
        self._span = max(1, clip_samples // self._hop)  # hops whose power counts
        self._kept: Block | None = None
        self._base = 0  # number of the first sample that is kept
        self._best = -1.0
        self.start = 0
        self.samples: Block | None = None

    def push(self, block: Block) -> None:
        """Take the next samples."""
        kept = block if self._kept is None else np.concatenate([self._kept, block], axis=1)
        starts = (kept.shape[1] - self._clip) // self._hop + 1  # of windows that are whole
        if starts > 0:
            power = mean_power(kept[:, : (starts - 1 + self._span) * self._hop])
            energy = np.concatenate([[0.0], np.cumsum(np.add.reduceat(power, np.arange(0, len(power), self._hop)))])
            sums = energy[self._span : self._span + starts] - energy[:starts]
            loudest = int(np.argmax(sums))
            if sums[loudest] > self._best * _LOUDER or self.samples is None:
                begin = loudest * self._hop
                self._best, self.start = float(sums[loudest]), self._base + begin
                self.samples = kept[:, begin : begin + self._clip].copy()
            kept = kept[:, starts * self._hop :]
            self._base += starts * self._hop
        self._kept = kept


class LastWindow:
    """Keeps the last `clip_samples` of the blocks [K, n] that come. start: number of its first sample."""

    def __init__(self, clip_samples: int) -> None:
        self._clip = clip_samples
        self.start = 0
        self.samples: Block | None = None

    def push(self, block: Block) -> None:
        """Take the next samples."""
        kept = block if self.samples is None else np.concatenate([self.samples, block], axis=1)
        surplus = max(0, kept.shape[1] - self._clip)
        self.start += surplus
        self.samples = kept[:, surplus:]
