"""What the scripts of `service.jobs.scripts` share; each of them begins with it."""

from typing import Final

from service.jobs.job_index import HOLDINGS

COMMON: Final = (
    """
local P = 'adis:'
"""
    + HOLDINGS
    + """
local function now()
  local t = redis.call('TIME')
  return tonumber(t[1]) + tonumber(t[2]) / 1e6
end
local function stamp(seconds)
  return string.format('%.6f', seconds)
end
local function add(id, jobs, bytes_sign)
  local kind, bytes = string.match(redis.call('HGET', P .. 'uploads', id) or '', '^(%l+)|(%d+)$')
  if kind then
    redis.call('HINCRBY', P .. 'load', kind .. '|jobs', jobs)
    redis.call('HINCRBY', P .. 'load', kind .. '|bytes', bytes_sign * tonumber(bytes))
  end
end
local function enqueue(id, t)
  if redis.call('ZADD', P .. 'queued', t, id) == 1 then add(id, 1, 0) end
end
local function dequeue(id)
  if redis.call('ZREM', P .. 'queued', id) == 1 then add(id, -1, 0) end
end
local function let_go(id)
  dequeue(id)
  add(id, 0, -1)
  redis.call('HDEL', P .. 'uploads', id)
end
local function log(id, name)
  local f = redis.call('HMGET', P .. 'job:' .. id, 'state', 'done', 'total', 'unit', 'error')
  local data = '{"id":"' .. id .. '","state":"' .. f[1] .. '","progress":{"done":' .. f[2] .. ',"total":' .. f[3]
    .. ',"unit":"' .. f[4] .. '"},"error":' .. (f[5] or 'null') .. '}'
  redis.call('XADD', P .. 'events:' .. id, 'MAXLEN', '~', 1000, '*', 'event', name, 'data', data)
end
local function announce(id, name)
  log(id, name)
  redis.call('PUBLISH', P .. 'news', id .. ' ' .. redis.call('HGET', P .. 'job:' .. id, 'state'))
end
local function count(name, id, ...)
  local kind = redis.call('HGET', P .. 'job:' .. id, 'kind') or 'picture'
  redis.call('HINCRBY', P .. 'metrics', table.concat({'adis_jobs_' .. name, kind, ...}, '|'), 1)
end
local function reason(id, state)
  local problem = state == 'failed' and redis.call('HGET', P .. 'job:' .. id, 'error')
  return problem and string.match(problem, '"type": *"/problems/([%l-]+)"') or 'none'
end
local function notify(id, state, t)
  local job = P .. 'job:' .. id
  local events = redis.call('HGET', job, 'webhook_events')
  if events and string.find(events, 'job.' .. state, 1, true) then
    redis.call('HSET', job, 'webhook_state', 'pending', 'webhook_attempts', 0)
    redis.call('ZADD', P .. 'webhooks', stamp(t), id)
  end
end
local function learn(id)
  local f = redis.call('HMGET', P .. 'job:' .. id, 'kind', 'started', 'done', 'total')
  local kind, units = f[1] or 'picture', math.max(tonumber(f[3]) > 0 and f[3] or f[4], 1)
  local took = (now() - tonumber(f[2])) / units
  local before = tonumber(redis.call('HGET', P .. 'pace', kind) or took)
  redis.call('HSET', P .. 'pace', kind, string.format('%.9g', before + 0.2 * (took - before)))
end
local function finish(id, state, lifetime)
  local job, t = P .. 'job:' .. id, now()
  redis.call('HSET', job, 'state', state, 'finished', stamp(t), 'expires', stamp(t + lifetime))
  redis.call('HDEL', job, 'owner')
  let_go(id)
  redis.call('ZREM', P .. 'due', id)
  rest(id, lifetime)
  notify(id, state, t)
  count('ended', id, state, reason(id, state))
  announce(id, 'state')
  redis.call('EXPIRE', job, lifetime)
  redis.call('EXPIRE', P .. 'events:' .. id, lifetime)
  local key = redis.call('HGET', job, 'key')
  if key then redis.call('EXPIRE', P .. 'key:' .. key, lifetime) end
end
local function lose(id, most, problem, lifetime)
  local job, t = P .. 'job:' .. id, stamp(now())
  count('lost', id)
  if redis.call('HINCRBY', job, 'lost', 1) >= most then
    redis.call('HSET', job, 'error', problem)
    finish(id, 'failed', lifetime)
    return false
  end
  redis.call('HSET', job, 'state', 'queued', 'done', 0)
  redis.call('HDEL', job, 'owner')
  enqueue(id, t)
  return true
end
local function held(id, owner, attempt)
  local f = redis.call('HMGET', P .. 'job:' .. id, 'state', 'owner', 'attempt')
  if not f[1] then return 'erased' end
  if f[1] == 'running' and f[2] == owner and f[3] == attempt then return 'held' end
  if f[1] == 'cancelled' then return 'cancelled' end
  return 'taken'
end
"""
)
