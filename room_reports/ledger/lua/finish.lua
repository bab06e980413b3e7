-- Writes the outcome of a running attempt, if it is still the step's current one, and all that follows from it.
-- ARGV[2]: the outcome as JSON, with a token that no other call has, so that asking twice is safe. Returns {'stale'}, or
-- {'ok', what became of the lane's hold, the step that goes on in the same job: {step, attempt, time, series}, what was
-- taken where none does}.
local outcome = cjson.decode(ARGV[2])
local sid, step = outcome.sid, outcome.step
local key = row_key(sid)

local found = redis.call('HMGET', key, step .. '.state', step .. '.attempt', step .. '.token', step .. '.tries',
  step .. '.reason', step .. '.series', 'state', 'opened', 'ended', 'steps', 'lane')
account_lane = found[11] or account_lane
local lane = lane_of(step)
local state, attempt, token, tries, reason, series = unpack(found, 1, 6)
local room_state, opened, ended, steps = unpack(found, 7, 10)

-- The step that was begun for this very caller, who has not heard of it and asks again.
local function begun_before()
  for _, name in ipairs(outcome.opens) do
    local it = redis.call('HMGET', key, name .. '.state', name .. '.token', name .. '.attempt', name .. '.series')
    if it[1] == 'running' and it[2] == outcome.token then return {name, it[3], now_text, it[4]} end
  end
  return nil
end

-- The last that is done here, for the lane at hand is another one then. `take`: as `take_jobs` wants it.
local function answer(event, following)
  local taken = outcome.take and not following and take_jobs(unpack(outcome.take))
  return {'ok', event, following or false, taken or {}}
end

if attempt ~= tostring(outcome.attempt) then return {'stale'} end
if token == outcome.token then return answer('', begun_before()) end
if state ~= 'running' then return {'stale'} end

-- A lane is held when its other side asked for it, refuses us as a whole, or failed many times in a row.
local function hold_lane(kind, seconds)
  local event = redis.call('EXISTS', hold_key(lane)) == 1 and 'extended' or 'held'
  if event == 'held' then redis.call('HSET', hold_key(lane), 'since', now_text) end
  local number = redis.call('HINCRBY', hold_key(lane), 'count', 1)
  local pause = math.min(outcome.waits[math.min(number, #outcome.waits)], LONGEST_PROBE_PAUSE)
  redis.call('HSET', hold_key(lane), 'kind', kind, 'reason', outcome.reason, 'detail', outcome.detail,
    'until', precise(now + (seconds or pause)))
  redis.call('HDEL', hold_key(lane), 'probe', 'probe_until')
  return event
end

local function judge_lane()
  if outcome.lane == 'neutral' then return '' end
  local hold = redis.call('HMGET', hold_key(lane), 'kind', 'until')
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
  if failures >= FAILURES_THAT_HOLD then return hold_lane('heals') end
  return ''
end

-- Meanwhile the report has become due where this attempt sent only the provisional message.
local is_first_part_over = series ~= tostring(outcome.series)

local fields = outcome.fields
add(fields, step .. '.token', outcome.token)
if not is_first_part_over then add(fields, step .. '.state', outcome.state) end
if outcome.counts and not is_first_part_over then add(fields, step .. '.tries', (tries or 0) + 1) end
if outcome.reason and not is_first_part_over then
  add(fields, step .. '.reason', outcome.reason)
elseif reason then
  redis.call('HDEL', key, step .. '.reason')
end
note(sid, outcome.record)
count('attempts', step, outcome.state, outcome.reason or '')
local event = judge_lane()
if event ~= '' then count('holds', lane, event) end

if is_first_part_over then
  start_series(fields, sid, step, series, tonumber(attempt))
  write(sid, fields)
  return answer(event)
end

if not FINAL[outcome.state] then
  write(sid, fields)
  set_due(sid, step, now + outcome.pause)
  return answer(event)
end

-- Starts each step that this one opens. One of them goes straight on in the job that made it due: it saves a job and
-- isolates nothing less, for every other one has its own. One whose provisional message is being sent right now begins
-- when that attempt ends, or its lease: two at once would not know of one another's message.
local function open_steps()
  local names, wanted, following = cjson.decode(steps), {}, nil
  for _, name in ipairs(outcome.opens) do
    add(wanted, name .. '.series', name .. '.attempt', name .. '.state')
  end
  local before = redis.call('HMGET', key, unpack(wanted))
  for i, name in ipairs(outcome.opens) do
    local had_series, its_attempt, its_state = before[3 * i - 2], tonumber(before[3 * i - 1] or 0), before[3 * i]
    local its_series = (had_series or 0) + 1
    if not had_series then add(names, name) else redis.call('HDEL', key, name .. '.reason', name .. '.finished') end
    if its_state == 'running' then
      add(fields, name .. '.series', its_series, name .. '.since', now_text, name .. '.tries', 0)
    else
      -- What its first part has noted is not in the hands of whoever goes on here.
      local goes_on = outcome.go_on and not following and not had_series
      local begun = start_series(fields, sid, name, its_series, its_attempt, goes_on and outcome.token)
      if begun and goes_on then
        following = {name, its_attempt + 1, now_text, its_series}
      end
    end
  end
  add(fields, 'steps', cjson.encode(names))
  return following
end

-- The state of a room follows from its steps: open while one is unfinished, else the worst of their ends.
local function state_of_room()
  if #outcome.opens > 0 then return 'open' end
  local names, wanted, worst = cjson.decode(steps), {}, 'delivered'
  for i, name in ipairs(names) do wanted[i] = name .. '.state' end
  local states = redis.call('HMGET', key, unpack(wanted))
  for i, name in ipairs(names) do
    local its_state = name == step and outcome.state or states[i]
    if not FINAL[its_state] then return 'open' end
    if its_state == 'dead' then
      worst = 'dead'
    elseif (its_state == 'expired' or its_state == 'partial') and worst ~= 'dead' then
      worst = its_state
    end
  end
  return worst
end

redis.call('ZREM', due_key(lane), sid)
add(fields, step .. '.finished', now_text)
-- A resend, days later, would say nothing of how fast reports are.
if outcome.state ~= 'dead' and series == '1' then
  observe('seconds_from_end', step, math.max(now - (tonumber(ended) or tonumber(opened)), 0))
end
if outcome.day and series == '1' then
  for _, counted in ipairs(outcome.day.counts) do
    redis.call('HINCRBY', cfg.prefix .. 'days', outcome.day.on .. '|' .. counted[1], counted[2])
  end
end
if outcome.lasted and series == '1' then
  local lengths, kept = cfg.prefix .. 'lengths:' .. outcome.lasted.name, {outcome.lasted.seconds}
  for seconds in string.gmatch(redis.call('GET', lengths) or '', '%d+') do
    if #kept < LENGTHS_KEPT then add(kept, seconds) end
  end
  redis.call('SET', lengths, table.concat(kept, ','), 'EX', cfg.retention)
end
local following = nil
if #outcome.opens > 0 then following = open_steps() end
local new_state = state_of_room()
if new_state ~= 'open' then
  move_room(fields, sid, room_state, new_state, opened)
  add(fields, 'finished', now_text)
  expire_room(sid)
end
write(sid, fields)
return answer(event, following)
