"""Decoder processes that outlive the application of a test: starting two takes longer than most tests."""

import atexit
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from service.media.decoder_pool import DecoderPool
from service.media.decoder_process import DecoderProcess
from service.media.limits import MediaLimits

_stock: list[DecoderProcess] = []  # of applications that have ended


class _LentDecoderPool(DecoderPool):
    """Real helpers, which may open every file: those that an application leaves idle are the next one's."""

    def __init__(self, limits: MediaLimits, kept: int, files: Any) -> None:
        super().__init__(limits, kept=kept)
        while _stock and len(self._idle) < kept:
            self._idle.append(_stock.pop())

    def warm_up(self) -> None:
        while len(self._idle) < self._kept:
            self._put_by(DecoderProcess())

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for helper in idle:
            if helper.is_alive:
                _stock.append(helper)
            else:
                helper.end()
        super().close()


@contextmanager
def lent_decoders() -> Iterator[None]:
    """Applications that start within the block have helpers of those that ended before."""
    with patch("service.api.context.DecoderPool", _LentDecoderPool):
        yield


@atexit.register
def _end_all() -> None:
    for helper in _stock:
        helper.end()
