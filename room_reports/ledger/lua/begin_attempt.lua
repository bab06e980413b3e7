
-- Starts a queued attempt; asking twice with one token is safe. Returns its row, or nil when it is not the step's current
-- one, runs already, or its lane is held or has sent all its rate allows.
local function begin_attempt(sid, step, attempt, token)
  local key = row_key(sid)
  local found = redis.call('HMGET', key, step .. '.state', step .. '.attempt', step .. '.token', step .. '.source',
    'lane')
  account_lane = found[5] or 'twilio'
  if found[2] ~= attempt then return nil end
  local again = found[1] == 'running' and found[3] == token
  if not again then
    if found[1] ~= 'queued' then return nil end
    local lane = lane_of(step)
    -- What an event brought is here already: it needs nothing of its lane, held or not.
    if found[4] ~= 'event' and (not may_pass(lane, sid) or take_token(lane, 'sent')) then
      park(sid, step, now)
      return nil
    end
    write(sid, {step .. '.state', 'running', step .. '.token', token})
    set_due(sid, step, now + cfg.lease)
  end
  return redis.call('HGETALL', key)
end
