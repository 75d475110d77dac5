-- Renew the lease of the process that holds the job, and record its progress.
--   id, owner, attempt, lease (seconds), done (or nothing), total (if it was not known before)
-- -> 'held', or why it is not any more: 'erased', 'cancelled', 'taken'
local verdict = held()
if verdict ~= 'held' then return verdict end
redis.call('ZADD', P .. 'running', stamp(now() + a.lease), a.id)
if a.total then redis.call('HSET', job, 'total', a.total) end
if a.done and a.done ~= tonumber(redis.call('HGET', job, 'done')) then
  redis.call('HSET', job, 'done', a.done)
  announce('progress')
end
return 'held'
