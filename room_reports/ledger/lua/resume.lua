-- Lifts a hold and forgets the failures that led to it. ARGV[2]: the lane. Returns how much there was of these.
local held = redis.call('DEL', hold_key(ARGV[2]))
if held == 1 then count('holds', ARGV[2], 'resumed') end
return held + redis.call('DEL', run_key(ARGV[2]))
