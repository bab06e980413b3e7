-- Hands back a running attempt that its worker will not finish: due at once, for another worker. Returns 1 or 0.
-- ARGV[2..4]: room SID, step, attempt.
local sid, step = ARGV[2], ARGV[3]
local found = redis.call('HMGET', row_key(sid), step .. '.state', step .. '.attempt', 'lane')
account_lane = found[3] or account_lane
if (found[1] ~= 'running' and found[1] ~= 'queued') or found[2] ~= ARGV[4] then return 0 end
park(sid, step, now)
return 1
