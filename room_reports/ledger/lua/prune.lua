-- Takes rooms whose rows have gone out of the indexes, oldest first. ARGV[3]: how many to look at. Returns how many went.
local gone = 0
local old = redis.call('ZRANGEBYSCORE', index_key('all'), '-inf', precise(now - cfg.retention), 'LIMIT', 0, ARGV[3])
for _, sid in ipairs(old) do
  if redis.call('EXISTS', row_key(sid)) == 0 then
    for _, state in ipairs({'all', 'open', 'delivered', 'partial', 'expired', 'dead'}) do
      redis.call('ZREM', index_key(state), sid)
    end
    gone = gone + 1
  end
end
return gone
