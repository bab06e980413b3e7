-- Asks for deliveries again: a new series for each, due at once. ARGV[2]: {sid, steps, record} as JSON.
-- Returns the steps that were started anew; one that is not finished is left as it is.
local wish = cjson.decode(ARGV[2])
local sid, key = wish.sid, row_key(wish.sid)
local started, fields = {}, {}
for _, step in ipairs(wish.steps) do
  local found = redis.call('HMGET', key, step .. '.state', step .. '.series', step .. '.attempt')
  if found[1] and FINAL[found[1]] and found[1] ~= 'provisional' then
    start_series(fields, sid, step, (found[2] or 0) + 1, tonumber(found[3] or 0))
    redis.call('HDEL', key, step .. '.reason', step .. '.finished')
    count('resends', step)
    add(started, step)
  end
end
if #started > 0 then
  local room = redis.call('HMGET', key, 'state', 'opened')
  note(sid, wish.record)
  move_room(fields, sid, room[1], 'open', room[2])
  write(sid, fields)
  redis.call('HDEL', key, 'finished')
  redis.call('PERSIST', key)
  redis.call('PERSIST', attempts_key(sid))
end
return started
