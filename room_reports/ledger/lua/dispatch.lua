-- Queues a job for each step that is due, lane by lane. Returns {how many, seconds until the next is due or ''}.
-- ARGV[3]: lanes as a JSON list.
local queued, wake = 0, nil

local function wake_at(at)
  if not wake or at < wake then wake = at end
end

-- A queued step whose lease ran out is either still waiting its turn, or its job was taken and died unbegun. The queue
-- is first in, first out: what was queued before its head is no longer in it.
local head = redis.call('LINDEX', cfg.queue.list, 0)
local head_queued = math.huge
if head then
  local sid, step, attempt = string.match(head, '^(%w+)%-(.+)%-(%d+)$')
  local found = sid and redis.call('HMGET', row_key(sid), step .. '.queued', step .. '.attempt') or {}
  head_queued = found[2] == attempt and tonumber(found[1] or '') or -math.huge
end

local function dispatch_lane(lane, room_left)
  local hold = redis.call('HMGET', hold_key(lane), 'until', 'kind', 'probe', 'probe_until')
  if hold[1] then
    if hold[2] == 'operator' then return 0 end
    if tonumber(hold[1]) > now then wake_at(tonumber(hold[1])) return 0 end
    if hold[3] and tonumber(hold[4]) > now then wake_at(tonumber(hold[4])) return 0 end
    room_left = math.min(room_left, 1)
  end
  local sent = 0
  local looked_at = math.max(room_left, cfg.lost_share)
  for _, sid in ipairs(redis.call('ZRANGEBYSCORE', due_key(lane), '-inf', precise(now), 'LIMIT', 0, looked_at)) do
    local step = lane == 'twilio' and 'summary' or lane
    local found = redis.call('HMGET', row_key(sid), step .. '.state', step .. '.attempt', step .. '.queued')
    if not found[1] or FINAL[found[1]] then
      redis.call('ZREM', due_key(lane), sid)
    elseif found[1] == 'queued' and tonumber(found[3]) >= head_queued then
      set_due(sid, step, now + cfg.lease)
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
      enqueue(sid, step, tonumber(found[2]) + 1)
      sent = sent + 1
    end
  end
  local next_due = redis.call('ZRANGE', due_key(lane), 0, 0, 'WITHSCORES')[2]
  if next_due and tonumber(next_due) > now then wake_at(tonumber(next_due)) end
  return sent
end

-- Steps wait in the due index, not in the queue: it takes no more than keeps the workers busy, a fair share per lane.
-- Only what a dead worker left behind is let into a full queue: it has waited its turn already.
local lanes = cjson.decode(ARGV[3])
local room_left = cfg.queue_bound - redis.call('LLEN', cfg.queue.list)
local share = math.ceil(room_left / math.max(#lanes, 1))
for _, lane in ipairs(lanes) do
  queued = queued + dispatch_lane(lane, math.max(share, 0))
end
return {queued, wake and precise(math.max(wake - now, 0)) or ''}
