#!lua flags=allow-oom
-- cancel: scheduled, queued, retrying -> cancelled; a running job is marked, and its worker told.
--   ARGV     now, msgpack of [id, since or 0, reason]*
--   returns  msgpack of a word for each: cancelled, running (its worker will stop it), or a refusal:
--            NOT_FOUND, CHANGED <state>, CONFLICT <state>
--@use claims, prune
local verdicts, letters = {}, {}

local function tell(worker, id)
  if call('EXISTS', worker_key(worker)) == 0 then return end -- it is gone: the sweep will cancel what it held
  call('SADD', cancels_key(worker), id)
  letters[worker] = letters[worker] or {}
  letters[worker][#letters[worker] + 1] = id
end

local function cancel(id, since, reason, job)
  local state, route = job[1], job[2] and route_of(job[2])
  local no = refusal(state, job[6], since)
  if no then return no end
  if state == 'running' then
    call('HSET', job_key(id), 'cancel', 1)
    tell(job[3], id)
    return 'running'
  end
  if not MOVES[state].cancelled then return state == 'cancelled' and 'cancelled' or 'CONFLICT ' .. state end
  if state == 'queued' then
    local list = standing(route, job[4])
    move(id, route, state, 'cancelled', NOW, 'reason', reason, 'ghost', with_ghost(job[5], list))
    count_ghost(route.queue, list, 1)
  else
    move(id, route, state, 'cancelled', NOW, 'reason', reason)
  end
  call('HINCRBY', queue_key(route.queue), 'cancelled', 1)
  tally(route.queue, 'cancelled', 1)
  return 'cancelled'
end

local queues = {}
for i, item in ipairs(cmsgpack.unpack(ARGV[2])) do
  local job = call('HMGET', job_key(item[1]), 'state', 'route', 'worker', 'parked', 'ghost', 'since')
  verdicts[i] = cancel(item[1], item[2], item[3], job)
  if job[2] then queues[route_of(job[2]).queue] = true end
end
flush()
for queue in pairs(queues) do
  prune(queue, 'cancelled')
end
commit()
for worker, ids in pairs(letters) do
  post(worker, { 'cancel', ids })
end
return cmsgpack.pack(verdicts)
