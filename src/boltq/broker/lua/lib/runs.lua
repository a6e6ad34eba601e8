--@use moves
-- What became of runs that did not complete their job: the newest few are kept with it.

-- Before the move, while the record still says who runs it and since when. `error`: JSON.
local function note_run(id, outcome, error)
  local job = call('HMGET', job_key(id), 'tries', 'n', 'worker', 'since')
  local attempt, delivery = (tonumber(job[1]) or 0) + 1, tonumber(job[2]) or 0
  local run = { attempt, delivery, job[3] or '', tonumber(job[4]) or NOW, NOW, outcome, error or '' }
  call('RPUSH', runs_key(id), cmsgpack.pack(run))
  call('LTRIM', runs_key(id), -MAX_RUNS, -1)
  call('HSET', partition_key, 'runs', 1) -- from now on there may be runs to delete
end
