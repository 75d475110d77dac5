-- What the scripts of the job's state machine share; service/jobs/scripts.py puts it before each of them, behind
-- service/redis/prelude.lua. Keys are described in scripts.py.
local job = P .. 'job:' .. a.id

-- Append what is so now to the job's events; `name` is `state` or `progress`.
local function log(name)
  local f = redis.call('HMGET', job, 'state', 'done', 'total', 'unit', 'error')
  local data = '{"id":"' .. a.id .. '","state":"' .. f[1] .. '","progress":{"done":' .. f[2] .. ',"total":' .. f[3]
    .. ',"unit":"' .. f[4] .. '"},"error":' .. (f[5] or 'null') .. '}'
  redis.call('XADD', P .. 'events:' .. a.id, 'MAXLEN', '~', 1000, '*', 'event', name, 'data', data)
end

-- The same, and wake whoever follows the job.
local function announce(name)
  log(name)
  redis.call('PUBLISH', P .. 'job-events', a.id .. ' ' .. redis.call('HGET', job, 'state'))
end

local function count(metric, ...)
  redis.call('HINCRBY', P .. 'metrics', table.concat({'adis_jobs_' .. metric, redis.call('HGET', job, 'kind'), ...}, '|'), 1)
end

-- 'held' if the process `a.owner` holds the job in its attempt `a.attempt`; else why not.
local function held()
  local f = redis.call('HMGET', job, 'state', 'owner', 'attempt')
  if not f[1] then return 'erased' end
  if f[1] == 'running' and f[2] == a.owner and tonumber(f[3]) == a.attempt then return 'held' end
  return f[1] == 'cancelled' and 'cancelled' or 'taken'
end

-- Put a running job back at the end of its line.
local function requeue()
  local kind, t = redis.call('HGET', job, 'kind'), stamp(now())
  redis.call('HSET', job, 'state', 'queued', 'done', 0)
  redis.call('HDEL', job, 'owner', 'started')
  redis.call('ZREM', P .. 'running', a.id)
  redis.call('ZADD', P .. 'queued:' .. kind, t, a.id)
  announce('state')
end

-- End the job, whatever it is doing: from now on it expires, and so does all that belongs to it.
local function finish(state, lifetime)
  local f, t = redis.call('HMGET', job, 'kind', 'bytes', 'api_key', 'key', 'error', 'webhook_events'), now()
  local active = P .. 'active:' .. (f[3] or '')
  redis.call('HSET', job, 'state', state, 'finished', stamp(t), 'expires', stamp(t + lifetime))
  redis.call('HDEL', job, 'owner')
  redis.call('ZREM', P .. 'queued:' .. f[1], a.id)
  redis.call('ZREM', P .. 'running', a.id)
  redis.call('HINCRBY', P .. 'bytes', f[1], -(f[2] or 0))
  redis.call('SREM', active, a.id)
  if redis.call('SCARD', active) == 0 then redis.call('EXPIRE', P .. 'mine:' .. (f[3] or ''), lifetime) end
  if f[6] and string.find(f[6], 'job.' .. state, 1, true) then
    redis.call('HSET', job, 'webhook_state', 'pending', 'webhook_attempts', 0)
    redis.call('ZADD', P .. 'webhooks', stamp(t), a.id)
  end
  local reason = state == 'failed' and f[5] and string.match(f[5], '"type": *"/problems/([%l-]+)"')
  count('ended', state, reason or 'none')
  announce('state')
  redis.call('EXPIRE', job, lifetime)
  redis.call('EXPIRE', P .. 'events:' .. a.id, lifetime)
  if f[4] then redis.call('EXPIRE', P .. 'key:' .. f[4], lifetime) end
end
