-- Say that a worker lives. Three small keys fit into a full Redis.
--   id (of the worker), silence (seconds that its heartbeat lasts), lifetime (seconds that its entry lasts)
-- -> 0 if there is no entry
redis.call('SET', P .. 'heartbeat:' .. a.id, '1', 'EX', a.silence)
redis.call('SADD', P .. 'workers', a.id)
return redis.call('EXPIRE', P .. 'worker:' .. a.id, a.lifetime)
