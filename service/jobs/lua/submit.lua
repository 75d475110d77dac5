-- Record a new job and queue it, or say why not. Its message is sent after this; the reaper sends it if that fails.
--   id, fields (of the record: kind, bytes, fingerprint, …), key (hash of the idempotency key, or ''),
--   max_waiting (jobs of its kind), max_bytes (of uploads of its kind; 0: any), api_key (id or ''),
--   max_active (jobs of that API key; 0: any)
-- -> {'new', id}, {'same', id of the job that the key belongs to}, {'other', that id} (of another request), or, where
--    there is no room: {'jobs', how many wait}, {'bytes', how many there are}, {'active', how many may be}
local kind, bytes, t = a.fields.kind, tonumber(a.fields.bytes), stamp(now())
if a.key ~= '' then
  local first = redis.call('GET', P .. 'key:' .. a.key)
  local known = first and redis.call('HGET', P .. 'job:' .. first, 'fingerprint')
  if known then return {known == a.fields.fingerprint and 'same' or 'other', first} end
end
local active, mine = P .. 'active:' .. a.api_key, P .. 'mine:' .. a.api_key
if a.max_active > 0 and redis.call('SCARD', active) >= a.max_active then
  for _, id in ipairs(redis.call('SMEMBERS', active)) do
    if redis.call('EXISTS', P .. 'job:' .. id) == 0 then redis.call('SREM', active, id) end
  end
  if redis.call('SCARD', active) >= a.max_active then return {'active', tostring(a.max_active)} end
end
local waiting = redis.call('ZCARD', P .. 'queued:' .. kind)
if waiting >= a.max_waiting then return {'jobs', tostring(waiting)} end
-- one that is larger than all that is allowed would never come in, so it does when nothing else is there
local there = tonumber(redis.call('HGET', P .. 'bytes', kind) or 0)
if a.max_bytes > 0 and there > 0 and there + bytes > a.max_bytes then return {'bytes', string.format('%.0f', there)} end
local pairs_ = {}
for name, value in pairs(a.fields) do
  pairs_[#pairs_ + 1] = name
  pairs_[#pairs_ + 1] = value
end
redis.call('HSET', job, 'state', 'queued', 'created', t, 'done', 0, unpack(pairs_))
if a.key ~= '' then
  redis.call('HSET', job, 'key', a.key)
  redis.call('SET', P .. 'key:' .. a.key, a.id)
end
redis.call('ZADD', P .. 'queued:' .. kind, t, a.id)
redis.call('HINCRBY', P .. 'bytes', kind, bytes)
redis.call('SADD', active, a.id)
if a.api_key ~= '' then  -- without a key there is no list
  for _, old in ipairs(redis.call('ZRANGE', mine, 0, 9)) do  -- a list that is only added to would grow for ever
    if redis.call('EXISTS', P .. 'job:' .. old) == 0 then redis.call('ZREM', mine, old) end
  end
  redis.call('ZADD', mine, t, a.id)
  redis.call('PERSIST', mine)
end
count('accepted')
log('state')  -- nobody can wait for it yet
return {'new', a.id}
