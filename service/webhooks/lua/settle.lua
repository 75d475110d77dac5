-- Write down what came of an attempt, unless it is of no interest any more.
--   id (of the job), attempt, state ('pending', 'delivered' or 'failed'), status (of the answer; none if there was
--   none), next_seconds (until the next attempt, of 'pending')
-- -> 1, or 0 if the job was erased or somebody else has tried since
local job = P .. 'job:' .. a.id
local f = redis.call('HMGET', job, 'webhook_state', 'webhook_attempts')
if f[1] ~= 'pending' or tonumber(f[2]) ~= a.attempt then return 0 end
redis.call('HSET', job, 'webhook_state', a.state)
if a.status then
  redis.call('HSET', job, 'webhook_last_status', a.status)
else
  redis.call('HDEL', job, 'webhook_last_status')
end
if a.state == 'pending' then
  redis.call('ZADD', P .. 'webhooks', stamp(now() + a.next_seconds), a.id)
else
  redis.call('ZREM', P .. 'webhooks', a.id)
end
return 1
