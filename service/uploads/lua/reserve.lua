-- Count an upload that arrives against the bytes that there may be of its kind, before they are stored.
--   id (of the job or upload to be), kind (of the job, or 'upload'), bytes (so far, or announced), max_bytes (0: any),
--   lease (seconds that it counts unless this is called again), key (hash of the idempotency key, or '')
-- -> {'reserved'}, {'known'} (the key has a job, so that nothing will be stored for long), or {'bytes', how many
--    there are, the seconds until kept ones expire (of 'upload')}
if a.key ~= '' and redis.call('EXISTS', P .. 'key:' .. a.key) == 1 then return {'known'} end
local expiry, sizes, t = P .. 'arriving:' .. a.kind, P .. 'arriving-bytes:' .. a.kind, now()
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', expiry, '-inf', stamp(t))) do  -- its API process has died
  redis.call('ZREM', expiry, gone)
  redis.call('HDEL', sizes, gone)
end
local stored = a.kind == 'upload' and redis.call('HGET', P .. 'upload-bytes', 'all') or redis.call('HGET', P .. 'bytes', a.kind)
local there = tonumber(stored or 0) - tonumber(redis.call('HGET', sizes, a.id) or 0)
if a.kind == 'upload' then  -- those that have expired are counted until keep.lua runs
  for _, folder in ipairs(redis.call('ZRANGEBYSCORE', P .. 'uploads', '-inf', stamp(t))) do
    there = there - tonumber(redis.call('HGET', P .. 'upload-bytes', folder) or 0)
  end
end
for _, size in ipairs(redis.call('HVALS', sizes)) do there = there + tonumber(size) end
-- one that is larger than all that is allowed comes in when nothing else is there, as in jobs/lua/submit.lua
if a.max_bytes > 0 and there > 0 and there + a.bytes > a.max_bytes then
  local first = redis.call('ZRANGE', P .. 'uploads', 0, 0, 'WITHSCORES')
  return {'bytes', string.format('%.0f', there), string.format('%.0f', math.ceil((first[2] or t) - t))}
end
redis.call('ZADD', expiry, stamp(t + a.lease), a.id)
redis.call('HSET', sizes, a.id, string.format('%.0f', a.bytes))
return {'reserved'}
