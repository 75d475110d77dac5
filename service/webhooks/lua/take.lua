-- Take the delivery that has been due longest, count the attempt, and hide it for a lease: if nobody settles it by then,
-- it is due again.
--   lease (seconds), max_attempts
-- -> {the job's id, the attempt (from 1)}, or {} if none is due
local t = now()
while true do
  local id = redis.call('ZRANGEBYSCORE', P .. 'webhooks', '-inf', stamp(t), 'LIMIT', 0, 1)[1]
  if not id then return {} end
  local job = P .. 'job:' .. id
  if redis.call('HGET', job, 'webhook_state') ~= 'pending' then
    redis.call('ZREM', P .. 'webhooks', id)
  elseif tonumber(redis.call('HGET', job, 'webhook_attempts')) >= a.max_attempts then
    redis.call('HSET', job, 'webhook_state', 'failed')
    redis.call('ZREM', P .. 'webhooks', id)
  else
    redis.call('ZADD', P .. 'webhooks', stamp(t + a.lease), id)
    return {id, redis.call('HINCRBY', job, 'webhook_attempts', 1)}
  end
end
