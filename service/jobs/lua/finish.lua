-- End the job in the name of the process that holds it; a second time is as good as the first.
--   id, owner, attempt, state ('succeeded' or 'failed'), fields (results, error, done, …), lifetime (seconds)
-- -> 'held', or why it was not: 'erased', 'cancelled', 'taken'
local verdict = held()
if verdict ~= 'held' then
  local f = redis.call('HMGET', job, 'state', 'attempt')
  return (f[1] == a.state and tonumber(f[2]) == a.attempt) and 'held' or verdict
end
local before = redis.call('HGET', job, 'done')
for name, value in pairs(a.fields) do redis.call('HSET', job, name, value) end
local f = redis.call('HMGET', job, 'done', 'total', 'started', 'kind')
if f[1] ~= before then log('progress') end  -- the end, which follows, is announced
if a.state == 'succeeded' then  -- learn how long a unit of work takes; the newest job counts a fifth
  local units = math.max(tonumber(f[1]) > 0 and f[1] or f[2], 1)
  local took = (now() - tonumber(f[3])) / units
  local pace = tonumber(redis.call('HGET', P .. 'pace', f[4]) or took)
  redis.call('HSET', P .. 'pace', f[4], string.format('%.9g', pace + 0.2 * (took - pace)))
end
finish(a.state, a.lifetime)
return 'held'
