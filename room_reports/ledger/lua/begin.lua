-- Starts one attempt. ARGV[3..6]: room SID, step, attempt, token. Returns {time, row}, or nothing when it may not begin.
local row = begin_attempt(ARGV[3], ARGV[4], ARGV[5], ARGV[6])
return row and {precise(now), row}
