-- Starts a queued attempt. Asking twice with one token is safe. ARGV[3..6]: room SID, step, attempt, token.
-- Returns {'go', time, row}, or {'stale'} when the attempt is not the step's current one, or {'wait'} when its lane is
-- held or has sent all its rate allows.
local sid, step, attempt, token = ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local key = row_key(sid)
local found = redis.call('HMGET', key, step .. '.state', step .. '.attempt', step .. '.token', step .. '.source',
  'lane')
account_lane = found[5] or account_lane
local lane = lane_of(step)
if found[2] ~= attempt then return {'stale'} end
local again = found[1] == 'running' and found[3] == token
if not again then
  if found[1] ~= 'queued' then return {'stale'} end
  -- What an event brought is here already: it needs nothing of its lane, held or not.
  if found[4] ~= 'event' and (not may_pass(lane, sid) or take_token(lane, 'sent')) then
    park(sid, step, now)
    return {'wait'}
  end
  write(sid, {step .. '.state', 'running', step .. '.token', token})
  set_due(sid, step, now + cfg.lease)
end
return {'go', precise(now), redis.call('HGETALL', key)}
