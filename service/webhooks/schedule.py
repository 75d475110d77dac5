"""Which deliveries are due, kept in Redis: written there by the script that ends the job, taken and settled here.

  webhooks        sorted   ids of jobs whose end is still to be told, by the time of the next attempt

The rest is in the job's record (webhook_state, webhook_attempts, webhook_last_status). Taking a delivery counts the
attempt and hides it for a lease: whoever takes it tells what came of it, and if nobody does it is due again.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from service.redis.connection import AsyncClient
from service.redis.scripts import arguments, load_script

_FOLDER: Final = Path(__file__).parent / "lua"
_TAKE, _SETTLE = load_script(_FOLDER / "take.lua"), load_script(_FOLDER / "settle.lua")


class DeliveryState(StrEnum):
    """pending -> delivered or failed."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True)
class Delivery:
    """One attempt (from 1) to tell how the job ended."""

    job_id: str
    attempt: int


class Schedule:
    """The deliveries of all API processes. lease_seconds: longer than an attempt can take."""

    def __init__(self, client: AsyncClient, lease_seconds: float, max_attempts: int) -> None:
        self._lease_seconds = lease_seconds
        self._max_attempts = max_attempts
        self._take = client.register_script(_TAKE)
        self._settle = client.register_script(_SETTLE)

    async def take(self) -> Delivery | None:
        """The delivery that has been due longest, for this process alone; None if there is none."""
        taken = await self._take(args=arguments(lease=self._lease_seconds, max_attempts=self._max_attempts))
        return Delivery(taken[0], taken[1]) if taken else None

    async def settle(
        self, delivery: Delivery, state: DeliveryState, status: int | None, next_seconds: float = 0.0
    ) -> bool:
        """Write down what came of it; False if that is of no interest any more."""
        answered = {} if status is None else {"status": status}
        outcome = {"state": state.value, "next_seconds": next_seconds, **answered}
        return bool(await self._settle(args=arguments(id=delivery.job_id, attempt=delivery.attempt, **outcome)))
