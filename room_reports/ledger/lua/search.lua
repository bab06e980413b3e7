-- One look along an index of rooms, newest first, for those that match: a few milliseconds, then others get their turn.
-- ARGV[1]: what is wanted, as JSON. Returns {hits with their scores in turn, the last SID looked at, its score,
-- how many were looked at, 1 if that was the end}. Reads only, so it works where nothing can be written.
local wish = cjson.decode(ARGV[1])
local index = wish.prefix .. 'rooms:' .. wish.state

-- Where to go on: behind the room that was looked at last, or behind its time when it has left this index.
local start = 0
if wish.after then
  local rank = redis.call('ZREVRANK', index, wish.after)
  start = rank and rank + 1 or redis.call('ZCOUNT', index, '(' .. wish.opened, '+inf')
end

local function has_one_of(text, needles)
  if not text then return false end
  local lower = string.lower(text)
  for _, needle in ipairs(needles) do
    if string.find(lower, needle, 1, true) then return true end
  end
  return false
end

local function is_among(value, values)
  for _, one in ipairs(values) do
    if value == one then return true end
  end
  return false
end

-- Codes are words, in whatever form the row keeps their list.
local function has_word(text, word)
  return text and string.find(text, '%f[%w_]' .. word .. '%f[^%w_]') ~= nil
end

local function begins_with_text(sid)
  return string.lower(string.sub(sid, 1, #wish.sid)) == wish.sid
end

-- Only what is asked for is read, the rarest first: reading is what a look costs.
local by_sid, by_name, by_verdict, by_step = wish.sid ~= '', #wish.needles > 0, wish.verdict ~= '', wish.step ~= ''
local rows, step_state = wish.prefix .. 'room:', wish.step .. '.state'

local function matches(sid)
  if by_sid and not begins_with_text(sid) then return false end
  if by_name and not has_one_of(redis.call('HGET', rows .. sid, 'name'), wish.needles) then return false end
  if by_verdict and not has_word(redis.call('HGET', rows .. sid, 'verdicts'), wish.verdict) then return false end
  return not by_step or is_among(redis.call('HGET', rows .. sid, step_state), wish.step_states)
end

local found = redis.call('ZREVRANGE', index, start, start + wish.chunk - 1, 'WITHSCORES')
local hits, looked = {}, 0
for i = 1, #found, 2 do
  looked = looked + 1
  if matches(found[i]) then
    hits[#hits + 1] = found[i]
    hits[#hits + 1] = found[i + 1]
    if #hits == 2 * wish.limit then break end
  end
end
local at_end = 2 * looked == #found and looked < wish.chunk
return {hits, found[2 * looked - 1] or '', found[2 * looked] or '', looked, at_end and 1 or 0}
