-- Takes jobs. ARGV[2]: {worker, token, how many, jobs that were done, jobs that were popped already} as JSON; a job is
-- {id, number of its queue}. Returns what `take_jobs` does.
return take_jobs(unpack(cjson.decode(ARGV[2])))
