"""How often a key may ask: a bucket of tokens in Redis, full at first and refilled evenly, one for all API processes.

rate:ID   string   when the key's bucket will be full again; it expires then
"""

from typing import Final

from service.jobs.connection import AsyncClient

# key id, requests a minute -> 0, or seconds until there is a token. A bucket holds the tokens of a minute. The bucket
# is kept as one time, as the generic cell rate algorithm does; a millisecond's grace is for rounding. A time more than
# a minute ahead is from a clock that was put back since: the bucket then counts as empty now, and fills from now on.
_TAKE: Final = """
local place, step = 'adis:rate:' .. ARGV[1], 60 / tonumber(ARGV[2])
local t = redis.call('TIME')
local now = tonumber(t[1]) + tonumber(t[2]) / 1e6
local kept = tonumber(redis.call('GET', place) or 0)
if kept > now + 60.001 then
  kept = now + 60
  redis.call('SET', place, string.format('%.6f', kept), 'PX', 60000)
end
local full = math.max(kept, now) + step
if full - now > 60.001 then return tostring(full - now - 60) end
redis.call('SET', place, string.format('%.6f', full), 'PX', math.ceil((full - now) * 1000))
return '0'
"""


async def take_token(client: AsyncClient, key_id: str, requests_per_minute: int) -> float:
    """Take a token from the key's bucket: 0, or the seconds until there is one."""
    return float(await client.register_script(_TAKE)(args=[key_id, requests_per_minute]))
