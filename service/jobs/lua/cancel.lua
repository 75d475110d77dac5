-- Cancel a job that waits or runs, or erase the record of one that has ended.
--   id, lifetime (seconds, of a cancelled job's record)
-- -> 'cancelled', 'erased', 'unknown'
local f = redis.call('HMGET', job, 'state', 'key', 'api_key')
if not f[1] then return 'unknown' end
if f[1] == 'queued' or f[1] == 'running' then
  finish('cancelled', a.lifetime)
  return 'cancelled'
end
redis.call('DEL', job, P .. 'events:' .. a.id)
redis.call('ZREM', P .. 'webhooks', a.id)
redis.call('ZREM', P .. 'mine:' .. (f[3] or ''), a.id)
if f[2] and redis.call('GET', P .. 'key:' .. f[2]) == a.id then redis.call('DEL', P .. 'key:' .. f[2]) end
return 'erased'
