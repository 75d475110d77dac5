"""How often one address may ask for what is open to everybody and costs more than a page."""

import math
import time
from collections import OrderedDict
from typing import Final

from fastapi import Depends, Request

from service.api.auth import name_address
from service.errors import TooManyRequests

_PER_SECOND: Final = 20.0  # the supervisor asks as often while the service starts
_BURST: Final = 100
_MOST_ADDRESSES: Final = 4096


class AddressRate:
    """A token bucket for each address, in this process. Of very many addresses the oldest are forgotten."""

    def __init__(self, per_second: float = _PER_SECOND, burst: int = _BURST) -> None:
        self._per_second = per_second
        self._burst = burst
        self._full: OrderedDict[str, float] = OrderedDict()  # when the address's bucket will be full again

    def take(self, address: str, now: float) -> float:
        """Take a token: 0, or the seconds until there is one. now: seconds of a clock that runs evenly."""
        full = max(self._full.pop(address, now), now) + 1 / self._per_second
        wait_seconds = full - now - self._burst / self._per_second
        self._full[address] = full if wait_seconds <= 0 else full - 1 / self._per_second
        if len(self._full) > _MOST_ADDRESSES:
            self._full.popitem(last=False)
        return max(0.0, wait_seconds)


async def limit_rate(request: Request) -> None:
    """The dependency of such routes; raises TooManyRequests."""
    rate: AddressRate = request.app.state.address_rate
    wait_seconds = rate.take(name_address(request), time.monotonic())
    if wait_seconds > 0:
        raise TooManyRequests(
            f"one address may ask {_PER_SECOND:g} times a second; try again soon", retry_after=math.ceil(wait_seconds)
        )


Limited: Final = Depends(limit_rate)
