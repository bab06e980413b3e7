-- Asks for deliveries again: a new series for each, due at once. ARGV[3]: {sid, steps, record} as JSON.
-- Returns the steps that were started anew; one that is not finished is left as it is.
local wish = cjson.decode(ARGV[3])
local key = row_key(wish.sid)
local started = {}
for _, step in ipairs(wish.steps) do
  local state = redis.call('HGET', key, step .. '.state')
  if state and FINAL[state] then
    start_series(wish.sid, step)
    count('resends', step)
    started[#started + 1] = step
  end
end
if #started > 0 then
  note(wish.sid, wish.record)
  settle(wish.sid)
  for _, step in ipairs(started) do enqueue_if_free(wish.sid, step) end
end
return started
