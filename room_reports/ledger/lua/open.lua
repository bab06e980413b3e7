-- Opens a room: its row, its summary step in the due index and that step's RQ job, together or not at all.
-- ARGV[3]: the room as JSON. Returns 'opened', 'known' or 'expired'.
local room = cjson.decode(ARGV[3])
local key = row_key(room.sid)
if redis.call('EXISTS', key) == 1 then
  count('opens', room.source, 'known')
  return 'known'
end
redis.call('HSET', key, 'schema', cfg.schema, 'opened', precise(now), 'account', room.account, 'name', room.name,
  'ended', room.ended, 'callback', room.callback, 'source', room.source, 'request_id', room.request_id,
  'steps', '["summary"]')
if room.traceparent ~= '' then redis.call('HSET', key, 'traceparent', room.traceparent) end
redis.call('ZADD', index_key('all'), precise(now), room.sid)
if room.expired then
  redis.call('HSET', key, 'summary.state', 'expired', 'summary.attempt', 0, 'summary.finished', precise(now))
  move_room(room.sid, 'expired')
  count('opens', room.source, 'expired')
  return 'expired'
end
start_series(room.sid, 'summary')
move_room(room.sid, 'open')
enqueue_if_free(room.sid, 'summary')
count('opens', room.source, 'opened')
return 'opened'
