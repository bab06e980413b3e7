
local function job_key(id) return cfg.jobs.prefix .. id end

local function clear_job(worker, id, number)
  redis.call('ZREM', cfg.jobs.started[number], id .. ':' .. worker)
  redis.call('DEL', job_key(id))
end

-- For `rq info` and dashboards. The hash outlives a worker that died with the job.
local function mark_started(worker, id, number)
  redis.call('HSET', job_key(id), 'status', 'started', 'started_at', stamp, 'worker_name', worker)
  redis.call('EXPIRE', job_key(id), JOB_KEPT)
  redis.call('ZADD', cfg.jobs.started[number], math.floor(now + cfg.jobs.longest), id .. ':' .. worker)
end

-- The attempt that a job is for, where it stands as the ledger wrote it: one that RQ has queued again is compressed.
local function attempt_of(data)
  local call, sid, step, attempt = string.match(data, '^%["([^"]+)", null, %["(%w+)", "([^"]+)", (%d+)%], {}%]$')
  if cfg.jobs.calls[call or ''] then return sid, step, attempt end
  return nil
end

-- Clears away the jobs that were done, takes up to `wanted` others off their queues, behind those that were popped
-- already, and starts their attempts. A job is {id, number of its queue}. While fewer than `may_wait` jobs wait in the
-- queue that is served first, it is served last. Returns {id, number of its queue, data} for each job taken; behind it,
-- where it is for an attempt of ours, {room SID, step, attempt, time, row}. A job whose attempt may not begin is done at
-- once.
local function take_jobs(worker, token, wanted, done, taken, may_wait)
  for _, job in ipairs(done) do clear_job(worker, unpack(job)) end
  local lists = cfg.jobs.lists
  local first, last, onwards = 1, #lists, 1
  if may_wait > 0 and redis.call('LLEN', lists[1]) < may_wait then first, last, onwards = last, first, -1 end
  for number = first, last, onwards do
    if wanted <= #taken then break end
    for _, id in ipairs(redis.call('LPOP', lists[number], wanted - #taken) or {}) do add(taken, {id, number}) end
  end
  local answer = {}
  for _, job in ipairs(taken) do
    local id, number = unpack(job)
    local data = redis.call('HGET', job_key(id), 'data')
    if data or redis.call('EXISTS', job_key(id)) == 1 then
      local sid, step, attempt = attempt_of(data or '')
      local row = sid and begin_attempt(sid, step, attempt, token)
      if row then
        mark_started(worker, id, number)
        add(answer, {id, number, data, {sid, step, attempt, now_text, row}})
      elseif sid then
        clear_job(worker, id, number)
      else
        mark_started(worker, id, number)
        add(answer, {id, number, data or ''})
      end
    end
  end
  return answer
end
