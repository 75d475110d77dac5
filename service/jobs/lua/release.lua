-- Queue a running job again: its holder gives it back, or is dead, or has let its lease run out.
--   id, owner and attempt (of the holder), lost: '' (it gives the job back unharmed), 'dead', or 'overdue' (only if
--   the lease has run out indeed), max_attempts, problem (JSON: the error of a job that was lost too often), lifetime
-- -> 'held' (and so it is queued now), 'failed' (it was lost too often), 'live' (the lease was renewed meanwhile), or
--    why it was not the holder's: 'erased', 'cancelled', 'taken'. Whoever calls it sends the job's new message.
local verdict = held()
if verdict ~= 'held' then return verdict end
if a.lost == 'overdue' and tonumber(redis.call('ZSCORE', P .. 'running', a.id) or 0) > now() then return 'live' end
if a.lost ~= '' then
  count('lost')
  if redis.call('HINCRBY', job, 'lost', 1) >= a.max_attempts then
    redis.call('HSET', job, 'error', a.problem)
    finish('failed', a.lifetime)
    return 'failed'
  end
end
requeue()
return 'held'
