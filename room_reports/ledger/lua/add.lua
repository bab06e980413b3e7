-- Adds to the counts, once for each batch. ARGV[2]: the batch's name; then names and numbers in turn. Returns 1 or 0.
if not redis.call('SET', cfg.prefix .. 'batch:' .. ARGV[2], '1', 'NX', 'EX', 3600) then return 0 end
for i = 3, #ARGV, 2 do redis.call('HINCRBY', cfg.prefix .. 'counts', ARGV[i], ARGV[i + 1]) end
return 1
