-- Take a queued job for a process, which must renew its lease from then on.
--   id, owner, lease (seconds)
-- -> {'claimed', the record's fields and values}, {'busy', its holder, the holder's attempt, 'live' or 'overdue'},
--    {'ended'}, {'erased'}
local t = now()
local f = redis.call('HMGET', job, 'state', 'kind', 'owner', 'attempt')
if not f[1] then return {'erased'} end
if f[1] == 'running' and f[3] ~= a.owner then
  local ends = tonumber(redis.call('ZSCORE', P .. 'running', a.id) or 0)
  return {'busy', f[3], f[4], ends > t and 'live' or 'overdue'}
end
if f[1] ~= 'running' and f[1] ~= 'queued' then return {'ended'} end
-- the newest place in the line that was served: a job well before it has lost its message (service.jobs.reaper);
-- a job that was taken before may come by its old message, ahead of its place; a place that is still to come is from a
-- clock that was put back
local place = not f[4] and tonumber(redis.call('ZSCORE', P .. 'queued:' .. f[2], a.id) or nil) or 0
local served = tonumber(redis.call('HGET', P .. 'served', f[2]) or 0)
place = math.min(place, t)
if place > served or served > t then
  redis.call('HSET', P .. 'served', f[2], stamp(place))
end
redis.call('ZREM', P .. 'queued:' .. f[2], a.id)
redis.call('ZADD', P .. 'running', stamp(t + a.lease), a.id)
redis.call('HINCRBY', job, 'attempt', 1)
redis.call('HSET', job, 'state', 'running', 'owner', a.owner, 'started', stamp(t), 'done', 0)
announce('state')
return {'claimed', redis.call('HGETALL', job)}
