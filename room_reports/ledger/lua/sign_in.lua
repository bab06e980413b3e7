-- May this client try a password now? One leaky bucket for each client and one for all; a try is taken from every one
-- of them or from none. ARGV[1]: {buckets: [[key, seconds for each try, burst], …]} as JSON.
-- Returns the seconds to wait, 0 when the try was taken.
local wish = cjson.decode(ARGV[1])
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local wait, full = 0, {}
for i, bucket in ipairs(wish.buckets) do
  local interval, burst = bucket[2], bucket[3]
  full[i] = math.max(tonumber(redis.call('GET', bucket[1]) or '0'), now) + interval
  wait = math.max(wait, full[i] - burst * interval - now)
end
if wait > 0.000001 then return string.format('%.3f', wait) end
for i, bucket in ipairs(wish.buckets) do
  redis.call('SET', bucket[1], string.format('%.6f', full[i]), 'PX', math.ceil((full[i] - now) * 1000))
end
return '0'
