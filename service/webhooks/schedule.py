"""Which deliveries are due, kept in Redis: written there by the script that ends the job, taken and settled here.

  webhooks        sorted   ids of jobs whose end is still to be told, by the time of the next attempt

The rest is in the job's record (webhook_state, webhook_attempts, webhook_last_status). Taking a delivery counts the
attempt and hides it for a lease: whoever takes it tells what came of it, and if nobody does it is due again.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from service.jobs.connection import AsyncClient

_COMMON: Final = """#!lua flags=allow-oom
local function now()
  local t = redis.call('TIME')
  return tonumber(t[1]) + tonumber(t[2]) / 1e6
end
local function put(id, seconds)
  redis.call('ZADD', 'adis:webhooks', string.format('%.6f', seconds), id)
end
"""

# lease, most attempts -> {id, attempt}, or nothing if none is due
_TAKE: Final = (
    _COMMON
    + """
local t = now()
while true do
  local id = redis.call('ZRANGEBYSCORE', 'adis:webhooks', '-inf', string.format('%.6f', t), 'LIMIT', 0, 1)[1]
  if not id then return {} end
  local job = 'adis:job:' .. id
  if redis.call('HGET', job, 'webhook_state') ~= 'pending' then
    redis.call('ZREM', 'adis:webhooks', id)
  elseif tonumber(redis.call('HGET', job, 'webhook_attempts')) >= tonumber(ARGV[2]) then
    redis.call('HSET', job, 'webhook_state', 'failed')
    redis.call('ZREM', 'adis:webhooks', id)
  else
    put(id, t + tonumber(ARGV[1]))
    return {id, redis.call('HINCRBY', job, 'webhook_attempts', 1)}
  end
end
"""
)

# id, attempt, state, status or '', seconds until the next attempt
# -> 1, or 0 if the job was erased or somebody else has tried since
_SETTLE: Final = (
    _COMMON
    + """
local id, job = ARGV[1], 'adis:job:' .. ARGV[1]
local f = redis.call('HMGET', job, 'webhook_state', 'webhook_attempts')
if f[1] ~= 'pending' or f[2] ~= ARGV[2] then return 0 end
redis.call('HSET', job, 'webhook_state', ARGV[3])
if ARGV[4] == '' then
  redis.call('HDEL', job, 'webhook_last_status')
else
  redis.call('HSET', job, 'webhook_last_status', ARGV[4])
end
if ARGV[3] == 'pending' then
  put(id, now() + tonumber(ARGV[5]))
else
  redis.call('ZREM', 'adis:webhooks', id)
end
return 1
"""
)


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
        taken = await self._take(args=[self._lease_seconds, self._max_attempts])
        return Delivery(taken[0], taken[1]) if taken else None

    async def settle(
        self, delivery: Delivery, state: DeliveryState, status: int | None, next_seconds: float = 0.0
    ) -> bool:
        """Write down what came of it; False if that is of no interest any more."""
        about = [delivery.job_id, delivery.attempt, state.value, "" if status is None else status, next_seconds]
        return bool(await self._settle(args=about))
