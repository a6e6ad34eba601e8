--@use moves
-- What became of runs that did not complete their job: the newest few are kept with it.

-- Call it before the move, while the record still says who runs the job and since when. `error`: JSON.
local function note_run(id, outcome, error)
  local tries, delivery, worker, since = unpack(call('HMGET', job_key(id), 'tries', 'n', 'worker', 'since'))
  local run = PastRun{
    attempt = (tonumber(tries) or 0) + 1, delivery = tonumber(delivery) or 0, worker = worker or '',
    started_at = tonumber(since) or NOW, ended_at = NOW, outcome = outcome, error = error or '',
  }
  call('RPUSH', runs_key(id), cmsgpack.pack(run))
  call('LTRIM', runs_key(id), -MAX_RUNS, -1)
  call('HSET', partition_key, 'runs', 1) -- from now on there may be runs to delete
end
