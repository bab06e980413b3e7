-- Shared by every script. ARGV[1]: what this process was configured with, as JSON; ARGV[2]: the caller's time as RQ
-- writes it, for RQ's own display only. Every decision uses the time of the server, so clocks of workers do not matter.
local cfg = cjson.decode(ARGV[1])
local stamp = ARGV[2]
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000

local FINAL = {complete = true, partial = true, expired = true, delivered = true, dead = true}

local function row_key(sid) return cfg.prefix .. 'room:' .. sid end
local function attempts_key(sid) return cfg.prefix .. 'attempts:' .. sid end
local function due_key(lane) return cfg.prefix .. 'due:' .. lane end
local function hold_key(lane) return cfg.prefix .. 'hold:' .. lane end
local function run_key(lane) return cfg.prefix .. 'failures:' .. lane end
local function index_key(state) return cfg.prefix .. 'rooms:' .. state end

local function lane_of(step)
  if step == 'summary' then return 'twilio' end
  return step
end

-- What has happened is counted in the script that makes it happen, so the counts are exact whatever dies. The parts of a
-- name are joined by '|'.
local function count(...)
  redis.call('HINCRBY', cfg.prefix .. 'counts', table.concat({...}, '|'), 1)
end

-- Counts a duration in its bucket (not cumulative) and adds it to the sum.
local function observe(name, part, seconds)
  local bucket = '+Inf'
  for _, limit in ipairs(cfg.buckets) do
    if seconds <= limit then bucket = tostring(limit) break end
  end
  count(name, part, bucket)
  redis.call('HINCRBYFLOAT', cfg.prefix .. 'counts', name .. '|' .. part .. '|sum', string.format('%.3f', seconds))
end

local function precise(seconds) return string.format('%.6f', seconds) end

local function set_due(sid, step, at)
  local lane = lane_of(step)
  redis.call('SADD', cfg.prefix .. 'lanes', lane)
  redis.call('ZADD', due_key(lane), precise(at), sid)
end

local function note(sid, record)
  redis.call('RPUSH', attempts_key(sid), record)
  redis.call('LTRIM', attempts_key(sid), -cfg.attempts_kept, -1)
end

-- Makes attempt number `attempt` the step's current one, so that every earlier one is fenced off. Due one lease from now.
local function mark_queued(sid, step, attempt)
  redis.call('HSET', row_key(sid), step .. '.state', 'queued', step .. '.attempt', attempt, step .. '.queued', precise(now))
  set_due(sid, step, now + cfg.lease)
end

local function enqueue(sid, step, attempt)
  local queue = cfg.queue
  local id = sid .. '-' .. step .. '-' .. attempt
  local call = queue.calls[step] or queue.calls['*']
  local data = '["' .. call .. '", null, ["' .. sid .. '", "' .. step .. '", ' .. attempt .. '], {}]'
  mark_queued(sid, step, attempt)
  if attempt > 1 then redis.call('DEL', queue.job .. sid .. '-' .. step .. '-' .. (attempt - 1)) end
  redis.call('HSET', queue.job .. id, 'data', data, 'created_at', stamp, 'enqueued_at', stamp,
    'description', id, unpack(queue.fields))
  redis.call('SADD', queue.queues, queue.list)
  redis.call('RPUSH', queue.list, id)
end

-- A step that must wait without being held against it: due at `at`, no job.
local function park(sid, step, at)
  redis.call('HSET', row_key(sid), step .. '.state', 'waiting')
  set_due(sid, step, at)
end

-- One message from a leaky bucket (GCRA): returns nil and takes it, or the time at which one will be there.
local function take_token(lane, bucket)
  local limits = cfg.lanes[lane]
  if not limits or limits.interval == 0 then return nil end
  local key = cfg.prefix .. 'rate:' .. bucket .. ':' .. lane
  local theoretical = math.max(tonumber(redis.call('GET', key) or '0'), now)
  local allowed = theoretical - (limits.burst - 1) * limits.interval
  if allowed > now + 0.000001 then return allowed end
  local following = theoretical + limits.interval
  redis.call('SET', key, precise(following), 'PX', math.ceil((following - now) * 1000) + 1000)
  return nil
end

-- Whether a lane lets this room through. A held lane lets one room through as its probe once its time is over.
local function may_pass(lane, sid)
  local hold = redis.call('HMGET', hold_key(lane), 'until', 'kind', 'probe', 'probe_until')
  if not hold[1] then return true end
  if hold[2] == 'operator' or tonumber(hold[1]) > now then return false end
  if hold[3] and hold[3] ~= sid and tonumber(hold[4]) > now then return false end
  redis.call('HSET', hold_key(lane), 'probe', sid, 'probe_until', precise(now + cfg.lease))
  return true
end

-- Starts a queued attempt: {'go', time, row} or {'stale'} or {'held'} or {'later'}. Asking twice with one token is safe.
local function begin(sid, step, attempt, token)
  local key = row_key(sid)
  local found = redis.call('HMGET', key, step .. '.state', step .. '.attempt', step .. '.token')
  if found[2] ~= tostring(attempt) then return {'stale'} end
  local again = found[1] == 'running' and found[3] == token
  if not again then
    if found[1] ~= 'queued' then return {'stale'} end
    local lane = lane_of(step)
    if not may_pass(lane, sid) then park(sid, step, now) return {'held'} end
    if take_token(lane, 'sent') then park(sid, step, now) return {'later'} end
    redis.call('HSET', key, step .. '.state', 'running', step .. '.token', token)
    set_due(sid, step, now + cfg.lease)
  end
  return {'go', precise(now), redis.call('HGETALL', key)}
end

local function move_room(sid, state)
  local key = row_key(sid)
  local before = redis.call('HGET', key, 'state')
  if before ~= state then
    local opened = redis.call('HGET', key, 'opened')
    if before then redis.call('ZREM', index_key(before), sid) end
    redis.call('ZADD', index_key(state), opened, sid)
    redis.call('HSET', key, 'state', state)
  end
  if state == 'open' then
    redis.call('PERSIST', key)
    redis.call('PERSIST', attempts_key(sid))
    redis.call('HDEL', key, 'finished')
  else
    redis.call('HSET', key, 'finished', precise(now))
    redis.call('EXPIRE', key, cfg.retention)
    redis.call('EXPIRE', attempts_key(sid), cfg.retention)
  end
end

-- The state of a room follows from its steps: open while one is unfinished, else the worst of their ends.
local function settle(sid)
  local key = row_key(sid)
  local steps = cjson.decode(redis.call('HGET', key, 'steps'))
  local worst = 'delivered'
  for _, step in ipairs(steps) do
    local state = redis.call('HGET', key, step .. '.state')
    if not FINAL[state] then return move_room(sid, 'open') end
    if state == 'dead' then
      worst = 'dead'
    elseif (state == 'expired' or state == 'partial') and worst ~= 'dead' then
      worst = state
    end
  end
  return move_room(sid, worst)
end

-- A step comes into being, or starts anew as another series: not yet queued, due at once.
local function start_series(sid, step)
  local key = row_key(sid)
  redis.call('HINCRBY', key, step .. '.series', 1)
  redis.call('HSET', key, step .. '.state', 'waiting', step .. '.since', precise(now), step .. '.tries', 0)
  redis.call('HSETNX', key, step .. '.attempt', 0)
  redis.call('HDEL', key, step .. '.reason', step .. '.finished')
  set_due(sid, step, now)
end

local function next_attempt(sid, step)
  return tonumber(redis.call('HGET', row_key(sid), step .. '.attempt')) + 1
end

-- A lane that is held, or has sent all its rate allows, leaves its steps in the due index for the dispatcher; so does one
-- with a rate where others wait already, for theirs is the next turn.
local function is_free(lane, sid)
  if redis.call('EXISTS', hold_key(lane)) == 1 then return false end
  local limits = cfg.lanes[lane]
  if not limits or limits.interval == 0 then return true end
  if redis.call('ZRANGE', due_key(lane), 0, 0)[1] ~= sid then return false end
  return not take_token(lane, 'dispatched')
end

local function enqueue_if_free(sid, step)
  if is_free(lane_of(step), sid) then enqueue(sid, step, next_attempt(sid, step)) end
end
