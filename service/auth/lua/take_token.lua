-- Take a token from a key's bucket, which holds the tokens of a minute, is full at first and is refilled evenly.
--   id (of the key), requests_per_minute
-- -> '0', or the seconds until there is a token
-- The bucket is kept as one time, as the generic cell rate algorithm does; a millisecond's grace is for rounding. A time
-- more than a minute ahead is from a clock that was put back since: the bucket then counts as empty now.
local bucket, step, t = P .. 'rate:' .. a.id, 60 / a.requests_per_minute, now()
local kept = tonumber(redis.call('GET', bucket) or 0)
if kept > t + 60.001 then
  kept = t + 60
  redis.call('SET', bucket, stamp(kept), 'PX', 60000)
end
local full = math.max(kept, t) + step
if full - t > 60.001 then return tostring(full - t - 60) end
redis.call('SET', bucket, stamp(full), 'PX', math.ceil((full - t) * 1000))
return '0'
