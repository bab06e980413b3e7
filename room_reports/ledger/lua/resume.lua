-- Lifts a hold and forgets the failures that led to it. ARGV[3]: the lane. Returns how much there was of these.
local held = redis.call('DEL', hold_key(ARGV[3]))
if held == 1 then count('holds', ARGV[3], 'resumed') end
return held + redis.call('DEL', run_key(ARGV[3]))
