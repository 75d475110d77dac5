-- What every script of ours begins with (service/redis/scripts.py). Its only argument is one JSON object, here `a`.
local P = 'adis:'
local a = cjson.decode(ARGV[1])

-- Seconds of the Unix epoch by the server's clock.
local function now()
  local t = redis.call('TIME')
  return tonumber(t[1]) + tonumber(t[2]) / 1e6
end

-- A time as it is stored, to the microsecond.
local function stamp(seconds)
  return string.format('%.6f', seconds)
end
