-- Notes what became of a day's digest at one destination, and counts it. ARGV[2]: the day, ARGV[3]: the destination,
-- ARGV[4]: the sending as JSON, ARGV[5]: seconds to keep it. No two sendings are equal, so the same one again is nothing new.
local key, name, sending = cfg.prefix .. 'digest:' .. ARGV[2], ARGV[3], ARGV[4]
if redis.call('HGET', key, name) == sending then return 0 end
redis.call('HSET', key, name, sending)
redis.call('EXPIRE', key, ARGV[5])
count('digests', name, cjson.decode(sending).state)
return 1
