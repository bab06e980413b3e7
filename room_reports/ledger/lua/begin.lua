-- ARGV[3..6]: room SID, step, attempt, token.
return begin(ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6])
