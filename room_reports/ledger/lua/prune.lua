-- Takes rooms whose rows have gone out of the indexes, oldest first, and forgets what days long past counted.
-- ARGV[2]: how many rooms to look at; ARGV[3]: the oldest day to keep, YYYY-MM-DD. Returns how many rooms went.
local gone = 0
local old = redis.call('ZRANGEBYSCORE', index_key('all'), '-inf', precise(now - cfg.retention), 'LIMIT', 0, ARGV[2])
for _, sid in ipairs(old) do
  if redis.call('EXISTS', row_key(sid)) == 0 then
    for _, state in ipairs({'all', 'open', 'delivered', 'partial', 'expired', 'dead'}) do
      redis.call('ZREM', index_key(state), sid)
    end
    gone = gone + 1
  end
end
for _, name in ipairs(redis.call('HKEYS', cfg.prefix .. 'days')) do
  if string.sub(name, 1, 10) < ARGV[3] then redis.call('HDEL', cfg.prefix .. 'days', name) end
end
return gone
