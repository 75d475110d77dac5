-- Revoke an API key; a second time changes nothing.
--   id
-- -> 1, or 0 if there is no such key
local key = P .. 'access:key:' .. a.id
if redis.call('EXISTS', key) == 0 then return 0 end
redis.call('HSETNX', key, 'revoked', stamp(now()))
redis.call('SREM', P .. 'access:valid', a.id)
return 1
