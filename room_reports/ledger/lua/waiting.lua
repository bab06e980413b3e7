-- What the unfinished steps of a lane are at, counted: one look along its due index, soonest first.
-- ARGV[1]: {prefix, lane, step, start, chunk} as JSON. Returns {how many were looked at, then in turn
-- `state|reason|due or later` and how many}.
local wish = cjson.decode(ARGV[1])
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local due = wish.prefix .. 'due:' .. wish.lane
local found = redis.call('ZRANGE', due, wish.start, wish.start + wish.chunk - 1, 'WITHSCORES')
local counts, answer = {}, {#found / 2}
for i = 1, #found, 2 do
  local row = redis.call('HMGET', wish.prefix .. 'room:' .. found[i], wish.step .. '.state', wish.step .. '.reason',
    'participants.state', 'participants.reason')
  -- Participants wait in the lane of the summary, after it.
  if wish.step == 'summary' and row[3] then row = {row[3], row[4]} end
  local when = tonumber(found[i + 1]) <= now and 'due' or 'later'
  local kind = (row[1] or '') .. '|' .. (row[2] or '') .. '|' .. when
  counts[kind] = (counts[kind] or 0) + 1
end
for kind, count in pairs(counts) do
  answer[#answer + 1] = kind
  answer[#answer + 1] = count
end
return answer
