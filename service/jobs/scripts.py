"""The job's state machine: every change of a record is one atomic script that runs inside Redis.

Kept in Redis, with the prefix `adis:`
  job:ID          hash     the record (service.jobs.record)
  events:ID       stream   what happened, for replay
  news            channel  `ID state` of jobs to which something happened
  queued          sorted   ids that wait, by the time at which they came
  due             sorted   ids by the time at which somebody must look after them: a queued job whose message may not
                           have reached the broker, a running one whose worker is silent
  key:HASH        string   id of the job that an idempotency key belongs to
  uploads         hash     `kind|bytes` of the uploads of each job that has not ended, by id
  load            hash     their sums: `kind|jobs` that wait, `kind|bytes` of all
  pace            hash     seconds that a unit of work took of late, by kind (service.jobs.wait_estimator)
  mine:, active:           jobs of each API key (service.jobs.job_index)
  webhooks        sorted   ids of jobs whose end is still to be told (service.webhooks.schedule)
  metrics         hash     what has been counted so far (service.observe.catalogue)

A worker holds a running job by `owner` and `attempt`, and has to write within its lease: `due` is when that ends.
Active jobs do not expire; an ended one lives for its time, and its events and key with it.
Keys are made from ids inside the scripts, so this wants a single Redis, not a cluster.
"""

from typing import Final

from service.jobs.script_parts import COMMON

# id, key or '', kind, most of it that wait, bytes of the uploads, most bytes of the kind or '', API key's id or '', its
# most active jobs (0: any), the broker's list, the message for it or '' (then somebody must send one within so many
# seconds), those seconds, then the record's fields and values
# -> {'new'|'same', id}, {'other', id} (the key belongs to another request), {'jobs'|'bytes', how many there are}: full,
# {'many', active}
SUBMIT: Final = (
    COMMON
    + """
local id, key, kind, most = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local bytes, most_bytes = tonumber(ARGV[5]), tonumber(ARGV[6])
local who, most_active = ARGV[7], tonumber(ARGV[8])
local list, message, grace = ARGV[9], ARGV[10], tonumber(ARGV[11])
local job, t = P .. 'job:' .. id, now()
local fields = {}
for i = 12, #ARGV do fields[#fields + 1] = ARGV[i] end
if key ~= '' then
  local first = redis.call('GET', P .. 'key:' .. key)
  local known = first and redis.call('HGET', P .. 'job:' .. first, 'fingerprint')
  if known then
    for i = 1, #fields, 2 do
      if fields[i] == 'fingerprint' then return {fields[i + 1] == known and 'same' or 'other', first} end
    end
  end
end
if has_too_many(who, most_active) then return {'many', tostring(most_active)} end
local load = redis.call('HMGET', P .. 'load', kind .. '|jobs', kind .. '|bytes')
local jobs, held_bytes = tonumber(load[1] or 0), tonumber(load[2] or 0)
if jobs >= most then return {'jobs', tostring(jobs)} end
-- one that is larger than all that is allowed would never come in, so it does when nothing else is there
if most_bytes and held_bytes > 0 and held_bytes + bytes > most_bytes then
  return {'bytes', string.format('%.0f', held_bytes)}
end
redis.call('HSET', job, 'state', 'queued', 'created', stamp(t), 'done', 0, unpack(fields))
if key ~= '' then
  redis.call('HSET', job, 'key', key)
  redis.call('SET', P .. 'key:' .. key, id)
end
redis.call('HSET', P .. 'uploads', id, kind .. '|' .. ARGV[5])
enqueue(id, stamp(t))
add(id, 0, 1)
if message == '' then
  redis.call('ZADD', P .. 'due', stamp(t + grace), id)
else
  redis.call('LPUSH', list, message)
  redis.call('HSET', job, 'sent', stamp(t))
end
hold(id, who, stamp(t))
count('accepted', id)
log(id, 'state')  -- nobody can wait for it yet
return {'new', id}
"""
)

# id: its message has reached the broker
SENT: Final = (
    COMMON
    + """
local job = P .. 'job:' .. ARGV[1]
if redis.call('HGET', job, 'state') == 'queued' then
  redis.call('ZREM', P .. 'due', ARGV[1])
  redis.call('HSET', job, 'sent', stamp(now()))
end
return 1
"""
)

# id, owner, an owner known to be dead or '', lease, most losses, the error if there were more, lifetime
# -> {'claimed', the record's fields and values}, {'busy', the owner who holds it}, or why it is neither: {'ended'},
# {'erased'}, {'failed'} (it was lost too often)
CLAIM: Final = (
    COMMON
    + """
local id, owner, dead, lease = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local most, problem, lifetime = tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[7])
local job, t = P .. 'job:' .. id, now()
local state = redis.call('HGET', job, 'state')
if not state then return {'erased'} end
if state == 'running' then
  local holder = redis.call('HGET', job, 'owner') or ''
  if holder ~= owner then
    local due = tonumber(redis.call('ZSCORE', P .. 'due', id) or 0)
    if holder ~= dead and due > t then return {'busy', holder} end
    if not lose(id, most, problem, lifetime) then return {'failed'} end
  end
elseif state ~= 'queued' then
  return {'ended'}
end
redis.call('HINCRBY', job, 'attempt', 1)
redis.call('HSET', job, 'state', 'running', 'owner', owner, 'started', stamp(t), 'done', 0)
dequeue(id)
redis.call('ZADD', P .. 'due', stamp(t + lease), id)
announce(id, 'state')
return {'claimed', redis.call('HGETALL', job)}
"""
)

# id, owner, attempt, lease, done or '', total or nothing -> 'held', or why it is not: 'erased', 'cancelled', 'taken'
KEEP: Final = (
    COMMON
    + """
local id, verdict = ARGV[1], held(ARGV[1], ARGV[2], ARGV[3])
if verdict ~= 'held' then return verdict end
redis.call('ZADD', P .. 'due', stamp(now() + tonumber(ARGV[4])), id)
if ARGV[6] then redis.call('HSET', P .. 'job:' .. id, 'total', ARGV[6]) end
if ARGV[5] ~= '' and ARGV[5] ~= redis.call('HGET', P .. 'job:' .. id, 'done') then
  redis.call('HSET', P .. 'job:' .. id, 'done', ARGV[5])
  announce(id, 'progress')
end
return 'held'
"""
)

# id, owner, attempt, state, lifetime, then fields and values -> as KEEP
FINISH: Final = (
    COMMON
    + """
local id, verdict = ARGV[1], held(ARGV[1], ARGV[2], ARGV[3])
local job = P .. 'job:' .. id
if verdict ~= 'held' then
  local f = redis.call('HMGET', job, 'state', 'attempt')
  return (f[1] == ARGV[4] and f[2] == ARGV[3]) and 'held' or verdict
end
local done = redis.call('HGET', job, 'done')
for i = 6, #ARGV, 2 do redis.call('HSET', job, ARGV[i], ARGV[i + 1]) end
if redis.call('HGET', job, 'done') ~= done then log(id, 'progress') end  -- the end, which follows, is announced
if ARGV[4] == 'succeeded' then learn(id) end
finish(id, ARGV[4], tonumber(ARGV[5]))
return 'held'
"""
)

# id, owner, attempt: give the job back, unharmed, to be started again -> as KEEP
RELEASE: Final = (
    COMMON
    + """
local id, verdict = ARGV[1], held(ARGV[1], ARGV[2], ARGV[3])
if verdict ~= 'held' then return verdict end
local t = stamp(now())
redis.call('HSET', P .. 'job:' .. id, 'state', 'queued', 'done', 0)
redis.call('HDEL', P .. 'job:' .. id, 'owner', 'started')
enqueue(id, t)
redis.call('ZADD', P .. 'due', t, id)
announce(id, 'state')
return 'held'
"""
)

# id, lifetime -> 'cancelled' (it was active; its record stays), 'erased' (it had ended), 'unknown'
DELETE: Final = (
    COMMON
    + """
local id, job = ARGV[1], P .. 'job:' .. ARGV[1]
local f = redis.call('HMGET', job, 'state', 'key', 'api_key')
if not f[1] then return 'unknown' end
if f[1] == 'queued' or f[1] == 'running' then
  finish(id, 'cancelled', tonumber(ARGV[2]))
  return 'cancelled'
end
redis.call('DEL', job, P .. 'events:' .. id)
redis.call('ZREM', P .. 'webhooks', id)
forget(id, f[3])
if f[2] and redis.call('GET', P .. 'key:' .. f[2]) == id then redis.call('DEL', P .. 'key:' .. f[2]) end
return 'erased'
"""
)

# most ids, seconds of grace for a message, most losses, the error if there were more, lifetime, the broker's lists (of
# images, of videos), then the owners that are known to be dead
# -> ids and kinds, in turn, of the jobs that need a new message: lost with their worker, never sent, or taken by a
# worker that died before it began (they wait, but the list of messages is empty, or the next of it is of a job whose
# message was sent later)
OVERDUE: Final = (
    COMMON
    + """
local most, grace = tonumber(ARGV[1]), tonumber(ARGV[2])
local t, found = now(), {}
local function sent(id)
  local f = redis.call('HMGET', P .. 'job:' .. id, 'sent', 'created')
  return tonumber(f[1] or f[2] or nil)
end
-- when the message was sent that a worker will be given next: none in the list was sent before it
local function oldest(list)
  local message = redis.call('LINDEX', list, -1)
  if not message then return math.huge end
  local read, fields = pcall(cjson.decode, message)
  local id = read and string.match(tostring((fields.headers or {}).argsrepr), "'(%x+)'")
  return id and sent(id) or 0
end
local next_sent = {[ARGV[6]] = oldest(ARGV[6]), [ARGV[7]] = oldest(ARGV[7])}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'queued', '-inf', stamp(t - grace), 'LIMIT', 0, most)) do
  local list = redis.call('HGET', P .. 'job:' .. id, 'kind') == 'video' and ARGV[7] or ARGV[6]
  if next_sent[list] > (sent(id) or t) + grace then redis.call('ZADD', P .. 'due', 'NX', stamp(t), id) end
end
local dead = {}
for i = 8, #ARGV do dead[ARGV[i]] = true end
if #ARGV >= 8 then
  for _, id in ipairs(redis.call('ZRANGE', P .. 'due', 0, most)) do
    local owner = redis.call('HGET', P .. 'job:' .. id, 'owner')
    if owner and dead[owner] then redis.call('ZADD', P .. 'due', stamp(t), id) end
  end
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'due', '-inf', stamp(t), 'LIMIT', 0, most)) do
  local state = redis.call('HGET', P .. 'job:' .. id, 'state')
  local wanted = state == 'queued'
  if state == 'running' then
    wanted = lose(id, tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5]))
    if wanted then announce(id, 'state') end
  end
  if wanted then
    redis.call('ZADD', P .. 'due', stamp(t + grace), id)
    found[#found + 1] = id
    found[#found + 1] = redis.call('HGET', P .. 'job:' .. id, 'kind') or 'picture'
  else
    redis.call('ZREM', P .. 'due', id)
    if not state then let_go(id) end
  end
end
return found
"""
)
