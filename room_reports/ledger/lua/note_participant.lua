-- Takes what an event says of one participant. ARGV[2]: {sid, field, record, most, kept} as JSON. Returns 'joined', 'early'
-- when the room is not known yet, 'known', or 'late' when its report is out.
local event = cjson.decode(ARGV[2])
local sid = event.sid
local found = redis.call('HMGET', row_key(sid), 'state', 'summary.state', event.field)
local target = found[1] and row_key(sid) or aside_key(sid)
local result = found[1] and 'joined' or 'early'
if found[3] or (not found[1] and redis.call('HEXISTS', target, event.field) == 1) then
  result = 'known'
elseif found[1] and is_reported(sid, found[2]) then
  result = 'late'
else
  -- Beyond the most that are kept, they are only counted; and that has an end too.
  local told = redis.call('HINCRBY', target, 'participants.told', 1)
  if told <= 10 * event.most then redis.call('HSET', target, event.field, told <= event.most and event.record or '') end
  if not found[1] then redis.call('EXPIRE', target, event.kept) end
end
count('events', result)
return result
