-- Takes what an event says of a room: opens it, or has its summary step go on at once with the summary that is in the
-- event. ARGV[2]: the event as JSON. Returns 'opened', 'expired', 'advanced', 'known' or 'late'.
local event = cjson.decode(ARGV[2])
local sid, key = event.sid, row_key(event.sid)
local found = redis.call('HMGET', key, 'state', 'summary.state', 'summary.attempt', 'summary.source', 'issues', 'lane')
local room_state, state, attempt, source, issues = unpack(found, 1, 5)
account_lane = found[6] or (not room_state and event.lane ~= '' and event.lane) or account_lane
local fields, opened = {}, now_text

-- Nothing has to be asked for, so neither a hold nor a rate of Twilio's lane is waited for. An attempt that runs is
-- fenced off by the next one.
local function go_on(after)
  add(fields, 'summary', event.summary, 'summary.source', 'event')
  if state ~= 'queued' then queue_attempt(fields, sid, 'summary', after + 1) end
end

local function open_room()
  local new_state = event.expired and 'expired' or 'open'
  add(fields, 'schema', SCHEMA, 'state', new_state, 'opened', opened, 'account', event.account, 'name', event.name,
    'ended', event.ended, 'callback', '', 'source', 'events', 'request_id', event.request_id)
  if event.lane ~= '' then add(fields, 'lane', event.lane) end
  if event.traceparent ~= '' then add(fields, 'traceparent', event.traceparent) end
  if event.summary ~= '' or event.expired then add(fields, 'steps', '["summary"]') end
  if event.expired then
    add(fields, 'summary.state', 'expired', 'summary.attempt', 0, 'summary.finished', opened, 'finished', opened)
  elseif event.summary == '' then
    start_series(fields, sid, 'summary', 1, 0)
    add(fields, 'steps', start_early(fields, sid))
  else
    add(fields, 'summary.series', 1, 'summary.since', opened, 'summary.tries', 0)
    go_on(0)
  end
  for _, part in ipairs(redis.call('HGETALL', aside_key(sid))) do add(fields, part) end
  redis.call('DEL', aside_key(sid))
  redis.call('ZADD', index_key('all'), opened, sid)
  redis.call('ZADD', index_key(new_state), opened, sid)
  count('opens', 'events', new_state == 'open' and 'opened' or 'expired')
  return new_state == 'open' and 'opened' or 'expired'
end

local result
if not room_state then
  result = open_room()
elseif source == 'event' then
  result = 'known'
elseif FINAL[state] then
  result = 'late'
elseif event.summary == '' then
  result = 'known'
else
  go_on(tonumber(attempt))
  note(sid, cjson.encode({step = 'summary', at = now, outcome = 'event', detail = 'an event brought the summary'}))
  result = 'advanced'
end
if not issues and event.issues ~= '' and not (room_state and is_reported(sid, state)) then add(fields, 'issues', event.issues) end
if #fields > 0 then write(sid, fields) end
if result == 'expired' then expire_room(sid) end
count('events', result)
return result
