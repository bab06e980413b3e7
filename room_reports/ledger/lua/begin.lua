-- Starts one attempt. ARGV[2..5]: room SID, step, attempt, token. Returns {time, row}, or nothing when it may not begin.
local row = begin_attempt(ARGV[2], ARGV[3], ARGV[4], ARGV[5])
return row and {now_text, row}
