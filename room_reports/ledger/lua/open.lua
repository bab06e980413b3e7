-- Opens a room: its row, its summary step in the due index and that step's RQ job, together or not at all.
-- ARGV[2]: the room as JSON. Returns 'opened', 'known' or 'expired'.
local room = cjson.decode(ARGV[2])
local sid = room.sid
-- Asked for in one command, for there is hardly ever either: the row, and what events told of its participants before it.
local aside = cfg.prefix .. 'aside:' .. sid
local is_there = redis.call('EXISTS', row_key(sid), aside) > 0
if is_there and redis.call('EXISTS', row_key(sid)) == 1 then
  count('opens', room.source, 'known')
  return 'known'
end

if room.lane ~= '' then account_lane = room.lane end
local opened = now_text
local state = room.expired and 'expired' or 'open'
local fields = {'schema', SCHEMA, 'state', state, 'opened', opened, 'account', room.account, 'name', room.name,
  'ended', room.ended, 'callback', room.callback, 'source', room.source, 'request_id', room.request_id}
if room.lane ~= '' then add(fields, 'lane', room.lane) end
if room.traceparent ~= '' then add(fields, 'traceparent', room.traceparent) end
if room.expired then
  add(fields, 'summary.state', 'expired', 'summary.attempt', 0, 'summary.finished', opened, 'finished', opened,
    'steps', '["summary"]')
else
  start_series(fields, sid, 'summary', 1, 0)
  add(fields, 'steps', start_early(fields, sid))
end
if is_there then
  for _, part in ipairs(redis.call('HGETALL', aside)) do add(fields, part) end
  redis.call('DEL', aside)
end
write(sid, fields)
if room.expired then expire_room(sid) end
redis.call('ZADD', index_key('all'), opened, sid)
redis.call('ZADD', index_key(state), opened, sid)
local result = room.expired and 'expired' or 'opened'
count('opens', room.source, result)
return result
