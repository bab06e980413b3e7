-- Shared by the scripts that take events, behind the prelude.

-- What events told of participants of a room that is not known yet: it joins the row when the room is opened.
local function aside_key(sid) return cfg.prefix .. 'aside:' .. sid end

-- Whether what the deliveries say is settled, by the state of the summary step: they begin when those before them end.
local function is_reported(sid, summary_state)
  if not FINAL[summary_state] then return false end
  local participants = redis.call('HGET', row_key(sid), 'participants.state')
  return not participants or FINAL[participants] ~= nil
end
