-- Writes the outcome of a running attempt, if it is still the step's current one, and all that follows from it.
-- ARGV[3]: the outcome as JSON. Returns {'stale'}, or {'ok', what became of the lane's hold,
-- the delivery to go on with: {step, attempt, time, row}}.
local outcome = cjson.decode(ARGV[3])
local sid, step = outcome.sid, outcome.step
local key, lane = row_key(sid), lane_of(step)

local found = redis.call('HMGET', key, step .. '.state', step .. '.attempt')
if found[1] ~= 'running' or found[2] ~= tostring(outcome.attempt) then return {'stale'} end

local function pause_of(count)
  local waits = cfg.lanes[lane] and cfg.lanes[lane].waits or {60}
  return math.min(waits[math.min(count, #waits)], cfg.longest_probe_pause)
end

-- A lane is held when its other side asked for it, refuses us as a whole, or failed many times in a row.
local function hold_lane(kind, seconds)
  local event = redis.call('EXISTS', hold_key(lane)) == 1 and 'extended' or 'held'
  if event == 'held' then redis.call('HSET', hold_key(lane), 'since', precise(now)) end
  local count = redis.call('HINCRBY', hold_key(lane), 'count', 1)
  redis.call('HSET', hold_key(lane), 'kind', kind, 'reason', outcome.reason, 'detail', outcome.detail,
    'until', precise(now + (seconds or pause_of(count))))
  redis.call('HDEL', hold_key(lane), 'probe', 'probe_until')
  return event
end

local function judge_lane()
  if outcome.lane == 'neutral' then return '' end
  local hold = redis.call('HMGET', hold_key(lane), 'kind', 'until', 'probe')
  if hold[1] == 'operator' then return '' end
  if outcome.lane == 'healthy' then
    redis.call('DEL', run_key(lane))
    if hold[1] then redis.call('DEL', hold_key(lane)) return 'released' end
    return ''
  end
  if outcome.lane == 'operator' then return hold_lane('operator') end
  if outcome.lane == 'heals' then
    if hold[1] and tonumber(hold[2]) > now and not outcome.hold_for then return '' end
    return hold_lane('heals', outcome.hold_for)
  end
  local failures = redis.call('INCR', run_key(lane))
  redis.call('EXPIRE', run_key(lane), 3600)
  if hold[1] then
    if tonumber(hold[2]) > now then return '' end
    return hold_lane('heals')
  end
  if failures >= cfg.failures_that_hold then return hold_lane('heals') end
  return ''
end

redis.call('HSET', key, step .. '.state', outcome.state)
redis.call('HDEL', key, step .. '.token')
if outcome.reason then
  redis.call('HSET', key, step .. '.reason', outcome.reason)
else
  redis.call('HDEL', key, step .. '.reason')
end
if outcome.counts then redis.call('HINCRBY', key, step .. '.tries', 1) end
for field, value in pairs(outcome.fields) do redis.call('HSET', key, field, value) end
if outcome.record then note(sid, outcome.record) end
local event = judge_lane()
count('attempts', step, outcome.state, outcome.reason or '')
if event ~= '' then count('holds', lane, event) end

if not FINAL[outcome.state] then
  set_due(sid, step, now + outcome.pause)
  return {'ok', event}
end

redis.call('ZREM', due_key(lane), sid)
redis.call('HSET', key, step .. '.finished', precise(now))
-- A resend, days later, would say nothing of how fast reports are.
if outcome.state ~= 'dead' and redis.call('HGET', key, step .. '.series') == '1' then
  local ended = tonumber(redis.call('HGET', key, 'ended')) or tonumber(redis.call('HGET', key, 'opened'))
  observe('seconds_from_end', step, math.max(now - ended, 0))
end
if step == 'summary' then
  local steps = {'summary'}
  for _, name in ipairs(outcome.deliveries) do
    steps[#steps + 1] = name
    start_series(sid, name)
  end
  redis.call('HSET', key, 'steps', cjson.encode(steps))
end
settle(sid)

-- One of the deliveries goes straight on in the job that made it due: it saves a job and isolates nothing less, for
-- every other one has its own.
local function go_on_with(name)
  if not is_free(lane_of(name), sid) then return nil end
  local attempt = next_attempt(sid, name)
  mark_queued(sid, name, attempt)
  local begun = begin(sid, name, attempt, outcome.next_token)
  if begun[1] ~= 'go' then return nil end
  return {name, attempt, begun[2], begun[3]}
end

local following = nil
for _, name in ipairs(outcome.deliveries) do
  if outcome.next_token and not following then
    following = go_on_with(name)
  else
    enqueue_if_free(sid, name)
  end
end
return {'ok', event, following}
