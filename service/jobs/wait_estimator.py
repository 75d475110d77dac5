"""How long the queue will take: the measured time of a unit of work, times the work, shared among the live workers.

  pace     hash    seconds that a unit of work took of late, by kind of job; of an image a unit is a result, of a video
                   a frame. Learnt by the script that ends a job well, so that the newest job counts a fifth.

It is an estimate: jobs of a kind differ, and videos that idle workers helped with make the next ones look shorter.
"""

import math
from typing import Final

from service.jobs.connection import AsyncClient
from service.jobs.queue import QUEUES
from service.jobs.record import Kind

MAX_RETRY_AFTER_SECONDS: Final = 3600

_UNKNOWN_SECONDS: Final = 5  # until a first job of the kind has ended

# most jobs to look at, id or '', the kinds that the same workers do
# -> seconds of work before that job (or of everything) and in it; nothing if they are not known or it does not wait
_WORK: Final = """
local most, mine = tonumber(ARGV[1]), ARGV[2]
local at = mine ~= '' and tonumber(redis.call('ZSCORE', 'adis:queued', mine) or nil)
if mine ~= '' and not at then return {} end
local shared = {}
for i = 3, #ARGV do shared[ARGV[i]] = true end
local active, ahead, own, looked = redis.call('HGETALL', 'adis:uploads'), 0, 0, 0
local step = math.max(1, math.ceil(#active / 2 / most))
for i = 1, #active, 2 do
  local id, kind = active[i], string.match(active[i + 1], '^%l+')
  if shared[kind] and (id == mine or (i - 1) / 2 % step == 0) then
    local f = redis.call('HMGET', 'adis:job:' .. id, 'state', 'total', 'done')
    local left = f[1] and math.max(tonumber(f[2]) - tonumber(f[3]), 0) or 0
    local waits = at and tonumber(redis.call('ZSCORE', 'adis:queued', id) or nil)
    if left > 0 and (id == mine or not waits or waits < at) then
      local pace = tonumber(redis.call('HGET', 'adis:pace', kind) or nil)
      if not pace then return {} end
      if id == mine then own = left * pace else ahead = ahead + left * pace * step end
    end
  end
end
return {tostring(ahead), tostring(own)}
"""
_MOST_LOOKED_AT: Final = 1000  # of more jobs every second, third … stands for its neighbours


class WaitEstimator:
    """Estimates, as the API needs them. slots: jobs that the live workers do at once, at least 1."""

    def __init__(self, client: AsyncClient) -> None:
        self._work = client.register_script(_WORK)

    async def seconds_until_done(self, job_id: str, kind: Kind, slots: int) -> float | None:
        """Seconds until a queued job is done; None if that is not known, or it waits no more."""
        work = await self._look(job_id, kind)
        return None if work is None else work[0] / slots + work[1]

    async def retry_after(self, kind: Kind, slots: int) -> int:
        """Whole seconds until all that is there is done, at least 1 and at most an hour."""
        work = await self._look("", kind)
        return _UNKNOWN_SECONDS if work is None else whole_seconds(work[0] / slots)

    async def _look(self, job_id: str, kind: Kind) -> tuple[float, float] | None:
        """Seconds of work: before the job, in it."""
        shared = [other for other, queue in QUEUES.items() if queue == QUEUES[kind]]
        found = await self._work(args=[_MOST_LOOKED_AT, job_id, *shared])
        return (float(found[0]), float(found[1])) if found else None


def whole_seconds(seconds: float) -> int:
    """As `Retry-After` has them."""
    return min(max(math.ceil(seconds), 1), MAX_RETRY_AFTER_SECONDS)
