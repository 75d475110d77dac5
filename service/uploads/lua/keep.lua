-- Keep an upload, or find the one of the same owner and content, which then lives anew.
--   id (of the folder that holds its file), key ("OWNER:HASH"), fields (of the record), lifetime (seconds),
--   max_bytes (of all uploads; 0: any)
-- -> {'new' or 'known', the time at which it expires, the record's fields and values}, or, where there is no room,
--    {'bytes', how many there are, the seconds until some of them expire}
local uploads, sizes, t = P .. 'uploads', P .. 'upload-bytes', now()
local upload = P .. 'upload:' .. a.key
local function keep(folder)
  redis.call('EXPIRE', upload, a.lifetime)
  redis.call('ZADD', uploads, stamp(t + a.lifetime), folder)
end
local known = redis.call('HGET', upload, 'folder')
if known then
  keep(known)
  return {'known', stamp(t + a.lifetime), redis.call('HGETALL', upload)}
end
for _, folder in ipairs(redis.call('ZRANGEBYSCORE', uploads, '-inf', stamp(t))) do
  redis.call('HINCRBY', sizes, 'all', -(redis.call('HGET', sizes, folder) or 0))
  redis.call('HDEL', sizes, folder)
  redis.call('ZREM', uploads, folder)
end
-- one that is larger than all that is allowed would never come in, so it does when nothing else is there
local there, bytes = tonumber(redis.call('HGET', sizes, 'all') or 0), tonumber(a.fields.bytes)
if a.max_bytes > 0 and there > 0 and there + bytes > a.max_bytes then
  local first = redis.call('ZRANGE', uploads, 0, 0, 'WITHSCORES')
  return {'bytes', string.format('%.0f', there), string.format('%.0f', math.ceil((first[2] or t) - t))}
end
for name, value in pairs(a.fields) do redis.call('HSET', upload, name, value) end
redis.call('HSET', upload, 'folder', a.id)
redis.call('HSET', sizes, a.id, bytes)
redis.call('HINCRBY', sizes, 'all', bytes)
keep(a.id)
return {'new', stamp(t + a.lifetime), redis.call('HGETALL', upload)}
