-- Takes jobs. ARGV[2]: what `take_jobs` is given, as JSON. Returns what that does.
return take_jobs(unpack(cjson.decode(ARGV[2])))
