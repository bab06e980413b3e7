-- Queues a job for each step that is due, lane by lane. Returns {how many, seconds until the next is due or ''}.
-- ARGV[2]: lanes as a JSON list.
local lanes = cjson.decode(ARGV[2])
local queued, wake = 0, nil

local function wake_at(at)
  if not wake or at < wake then wake = at end
end

local function is_twilio(lane) return lane == 'twilio' or string.sub(lane, 1, 7) == 'twilio-' end

local function step_of(lane) return is_twilio(lane) and 'summary' or lane end

-- When the head of a queue was queued; for a step of which that is not known nothing is lost. Each queue is first in,
-- first out: what was queued before its head is no longer in it.
local function queued_since(list)
  local head = redis.call('LINDEX', list, 0)
  if not head then return math.huge end
  local sid, step, attempt = string.match(head, '(%w+)%-(.+)%-(%d+)$')
  local found = sid and redis.call('HMGET', row_key(sid), step .. '.queued', step .. '.attempt') or {}
  return found[2] == attempt and tonumber(found[1] or '') or -math.huge
end

-- Steps wait in the due index, not in a queue: it takes no more than keeps the workers busy, a fair share for each lane
-- that uses it. Only what a dead worker left behind is let into a full queue: it has waited its turn already.
local queues = {}
for _, lane in ipairs(lanes) do
  local list = kind_of(step_of(lane)).list
  local queue = queues[list] or {lanes = 0}
  queue.lanes = queue.lanes + 1
  queues[list] = queue
end
for list, queue in pairs(queues) do
  queue.since = queued_since(list)
  queue.share = math.max(math.ceil((QUEUE_BOUND - redis.call('LLEN', list)) / queue.lanes), 0)
end

-- The step of a room that waits in this lane, with its state, attempt and the time at which it was queued. Twilio is asked
-- for two things of a room, one after the other.
local function unfinished_step(lane, sid)
  local step = step_of(lane)
  if not is_twilio(lane) then
    return step, redis.call('HMGET', row_key(sid), step .. '.state', step .. '.attempt', step .. '.queued')
  end
  local found = redis.call('HMGET', row_key(sid), 'summary.state', 'summary.attempt', 'summary.queued',
    'participants.state', 'participants.attempt', 'participants.queued')
  if found[4] and FINAL[found[1]] then return 'participants', {unpack(found, 4, 6)} end
  return step, found
end

local function dispatch_lane(lane)
  if is_twilio(lane) then account_lane = lane end
  local queue = queues[kind_of(step_of(lane)).list]
  local room_left = queue.share
  local hold = redis.call('HMGET', hold_key(lane), 'until', 'kind', 'probe', 'probe_until')
  if hold[1] then
    if hold[2] == 'operator' then return 0 end
    if tonumber(hold[1]) > now then wake_at(tonumber(hold[1])) return 0 end
    if hold[3] and tonumber(hold[4]) > now then wake_at(tonumber(hold[4])) return 0 end
    room_left = math.min(room_left, 1)
  end
  local sent = 0
  local looked_at = math.max(room_left, LOST_SHARE)
  for _, sid in ipairs(redis.call('ZRANGEBYSCORE', due_key(lane), '-inf', now_text, 'LIMIT', 0, looked_at)) do
    local step, found = unfinished_step(lane, sid)
    if not found[1] or FINAL[found[1]] then
      redis.call('ZREM', due_key(lane), sid)
    elseif found[1] == 'queued' and tonumber(found[3]) >= queue.since then
      set_due(sid, step, now + cfg.lease)  -- it waits its turn
    elseif found[1] ~= 'waiting' or sent < room_left then
      local free_at = take_token(lane, 'dispatched')
      if free_at then wake_at(free_at) break end
      if found[1] == 'running' then
        count('attempts', step, 'lost', '')
        note(sid, cjson.encode({step = step, attempt = tonumber(found[2]), at = now, outcome = 'lost',
          due = tonumber(redis.call('ZSCORE', due_key(lane), sid)),
          detail = 'the worker that ran it died; the lease ran out'}))
      end
      may_pass(lane, sid)
      local fields = {}
      queue_attempt(fields, sid, step, tonumber(found[2]) + 1)
      write(sid, fields)
      sent = sent + 1
    end
  end
  local next_due = redis.call('ZRANGE', due_key(lane), 0, 0, 'WITHSCORES')[2]
  if next_due and tonumber(next_due) > now then wake_at(tonumber(next_due)) end
  return sent
end

-- Written here, once for all steps, and not wherever a step is made due or queued; `rq info` lists the queues by it.
redis.call('SADD', cfg.prefix .. 'lanes', unpack(lanes))
redis.call('SADD', cfg.queue.queues, unpack(cfg.queue.lists))
for _, lane in ipairs(lanes) do queued = queued + dispatch_lane(lane) end
return {queued, wake and precise(math.max(wake - now, 0)) or ''}
