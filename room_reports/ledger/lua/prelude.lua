-- Shared by every script. ARGV[1]: the caller's time as RQ writes it, for RQ's own display only. Every decision uses the
-- time of the server, so clocks of workers do not matter. `cfg`, what this process was configured with as far as the
-- script needs it, and the names in capitals that are not set here are written before this text: see `scripts.py`.
--
-- A command of Redis costs about as much as everything around it, and a record in its append-only file besides. So the
-- fields of a row are collected, name and value in turn, and written by one command.
local stamp = ARGV[1]
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000

-- What a newer version has written may mean what this one does not know: see `SCHEMA`.
local schema = tonumber(redis.call('GET', cfg.prefix .. 'schema') or 1)
if schema > SCHEMA then return redis.error_reply('NEWERSCHEMA ' .. schema) end
if schema < SCHEMA then redis.call('SET', cfg.prefix .. 'schema', SCHEMA) end

-- `provisional` is how the first part of a delivery ends, which has its first series: 0.
local FINAL = {complete = true, partial = true, expired = true, delivered = true, dead = true, provisional = true}

local function row_key(sid) return cfg.prefix .. 'room:' .. sid end
local function attempts_key(sid) return cfg.prefix .. 'attempts:' .. sid end
local function due_key(lane) return cfg.prefix .. 'due:' .. lane end
local function hold_key(lane) return cfg.prefix .. 'hold:' .. lane end
local function run_key(lane) return cfg.prefix .. 'failures:' .. lane end
local function index_key(state) return cfg.prefix .. 'rooms:' .. state end

-- The lane in which the room at hand waits for Twilio: each further account has its own, which its rows name.
local account_lane = 'twilio'

local function lane_of(step)
  if step == 'summary' or step == 'participants' then return account_lane end
  return step
end

local function precise(seconds) return string.format('%.6f', seconds) end
local now_text = precise(now)

local function add(fields, ...)
  local length = #fields
  for i, word in ipairs({...}) do fields[length + i] = word end
end

local function write(sid, fields) redis.call('HSET', row_key(sid), unpack(fields)) end

-- What has happened is counted in the script that makes it happen, so the counts are exact whatever dies. The parts of a
-- name are joined by '|'.
local function count(...)
  redis.call('HINCRBY', cfg.prefix .. 'counts', table.concat({...}, '|'), 1)
end

-- Counts a duration in its bucket (not cumulative) and adds it to the sum.
local function observe(name, part, seconds)
  local bucket = '+Inf'
  for _, limit in ipairs(BUCKETS) do
    if seconds <= limit then bucket = tostring(limit) break end
  end
  count(name, part, bucket)
  redis.call('HINCRBYFLOAT', cfg.prefix .. 'counts', name .. '|' .. part .. '|sum', string.format('%.3f', seconds))
end

local function note(sid, record)
  if redis.call('RPUSH', attempts_key(sid), record) > ATTEMPTS_KEPT then
    redis.call('LTRIM', attempts_key(sid), -ATTEMPTS_KEPT, -1)
  end
end

local function set_due(sid, step, at) redis.call('ZADD', due_key(lane_of(step)), precise(at), sid) end

-- A step that must wait without being held against it: due at `at`, no job.
local function park(sid, step, at)
  write(sid, {step .. '.state', 'waiting'})
  set_due(sid, step, at)
end

-- How a queued step's job is written, and the list it waits in.
local function kind_of(step) return cfg.queue.kinds[step] or cfg.queue.kinds['*'] end

-- Makes attempt number `attempt` the step's current one, so that every earlier one is fenced off; due one lease from now.
local function queue_attempt(fields, sid, step, attempt)
  local kind, queue = kind_of(step), cfg.queue
  local id = queue.tag .. sid .. '-' .. step .. '-' .. attempt
  local data = '["' .. kind.call .. '", null, ["' .. sid .. '", "' .. step .. '", ' .. attempt .. '], {}]'
  add(fields, step .. '.state', 'queued', step .. '.attempt', attempt, step .. '.queued', now_text)
  set_due(sid, step, now + cfg.lease)
  if attempt > 1 then redis.call('DEL', queue.job .. queue.tag .. sid .. '-' .. step .. '-' .. (attempt - 1)) end
  redis.call('HSET', queue.job .. id, 'data', data, 'origin', kind.origin, 'created_at', stamp, 'enqueued_at', stamp,
    'description', id, unpack(queue.fields))
  redis.call('RPUSH', kind.list, id)
end

-- One message from a leaky bucket (GCRA): returns nil and takes it, or the time at which one will be there.
local function take_token(lane, bucket)
  local rate = cfg.rates[lane]
  if not rate then return nil end
  local key = cfg.prefix .. 'rate:' .. bucket .. ':' .. lane
  local theoretical = math.max(tonumber(redis.call('GET', key) or '0'), now)
  local allowed = theoretical - (rate.burst - 1) * rate.interval
  if allowed > now + 0.000001 then return allowed end
  local following = theoretical + rate.interval
  redis.call('SET', key, precise(following), 'PX', math.ceil((following - now) * 1000) + 1000)
  return nil
end

-- A lane that is held, or has sent all its rate allows, leaves its steps in the due index for the dispatcher; so does one
-- with a rate where others are due already, for theirs is the next turn.
local function is_free(lane)
  if redis.call('EXISTS', hold_key(lane)) == 1 then return false end
  if not cfg.rates[lane] then return true end
  local first = redis.call('ZRANGE', due_key(lane), 0, 0, 'WITHSCORES')[2]
  if first and tonumber(first) <= now then return false end
  return not take_token(lane, 'dispatched')
end

-- A step comes into being, or starts anew as another series, after `attempt` attempts: it is queued when its lane is
-- free, else due at once. With a token it is not queued but runs, in the job that this script is called from. Returns
-- whether its next attempt was made.
local function start_series(fields, sid, step, series, attempt, token)
  local lane = lane_of(step)
  add(fields, step .. '.series', series, step .. '.since', now_text, step .. '.tries', 0)
  if not is_free(lane) or (token and take_token(lane, 'sent')) then
    add(fields, step .. '.state', 'waiting', step .. '.attempt', attempt)
    set_due(sid, step, now)
    return false
  end
  if token then
    add(fields, step .. '.state', 'running', step .. '.attempt', attempt + 1, step .. '.token', token)
    set_due(sid, step, now + cfg.lease)
  else
    queue_attempt(fields, sid, step, attempt + 1)
  end
  return true
end

-- The steps a room is opened with: the summary, and each delivery that begins with a provisional message. Returns them as
-- JSON.
local function start_early(fields, sid)
  local names = {'summary'}
  for _, name in ipairs(cfg.early) do
    add(names, name)
    start_series(fields, sid, name, 0, 0)
  end
  return cjson.encode(names)
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

local function move_room(fields, sid, before, state, opened)
  redis.call('ZREM', index_key(before), sid)
  redis.call('ZADD', index_key(state), opened, sid)
  add(fields, 'state', state)
end

-- A finished room goes away by itself.
local function expire_room(sid)
  redis.call('EXPIRE', row_key(sid), cfg.retention)
  redis.call('EXPIRE', attempts_key(sid), cfg.retention)
end
