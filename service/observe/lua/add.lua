-- Add to the sums of the metrics. One call: a command for each of some thirty fields cost a worker more time than its
-- next job's claim.
--   counts, sums (each: what is to be added, by field)
for field, by in pairs(a.counts) do redis.call('HINCRBY', P .. 'metrics', field, by) end
for field, by in pairs(a.sums) do redis.call('HINCRBYFLOAT', P .. 'metrics', field, by) end
