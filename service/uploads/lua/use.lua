-- Find an upload; it then lives anew, or its record is erased.
--   key ("OWNER:HASH"), lifetime (seconds to live from now on; 0: erase it; -1: change nothing)
-- -> {the time at which it expires, the record's fields and values}, or {} if there is none
local upload, uploads, sizes = P .. 'upload:' .. a.key, P .. 'uploads', P .. 'upload-bytes'
local fields = redis.call('HGETALL', upload)
local folder = redis.call('HGET', upload, 'folder')
if not folder then return {} end
if a.lifetime > 0 then
  redis.call('EXPIRE', upload, a.lifetime)
  redis.call('ZADD', uploads, stamp(now() + a.lifetime), folder)
end
local expires = redis.call('ZSCORE', uploads, folder)
if a.lifetime == 0 then
  redis.call('DEL', upload)
  redis.call('ZREM', uploads, folder)
  redis.call('HINCRBY', sizes, 'all', -(redis.call('HGET', sizes, folder) or 0))
  redis.call('HDEL', sizes, folder)
end
return {expires or stamp(now()), fields}
