#!lua flags=allow-oom
-- cancel: blocked, scheduled, queued, retrying -> cancelled; a running job is marked, and its worker told.
--   ARGV     now, msgpack of [id, since or 0, reason]*
--   returns  msgpack of a word for each: cancelled, running (its worker will stop it), or a refusal:
--            NOT_FOUND, CHANGED <state>, CONFLICT <state>
--@use claims, cancels, flow_stop, flow_go_on, prune
local verdicts = {}

local function cancel(id, since, reason, job)
  local state, route = job[1], job[2] and route_of(job[2])
  local no = refusal(state, job[6], since)
  if no then return no end
  if state == 'running' then
    ask_to_stop(job[3], id)
    return 'running'
  end
  if not MOVES[state].cancelled then return state == 'cancelled' and 'cancelled' or 'CONFLICT ' .. state end
  if job[7] and state == 'blocked' and flow.stop_job(job[7], job[8], job[9]) then return 'running' end
  cancel_waiting(id, route, state, reason, job[4], job[5])
  if job[7] then flow.ended(job[7], id, 'cancelled') end
  return 'cancelled'
end

local queues = {}
for i, item in ipairs(cmsgpack.unpack(ARGV[2])) do
  local job = call('HMGET', job_key(item[1]), 'state', 'route', 'worker', 'parked', 'ghost', 'since', 'flow', 'phase', 'child')
  verdicts[i] = cancel(item[1], item[2], item[3], job)
  if job[2] then queues[route_of(job[2]).queue] = true end
end
flow.go_on()
flush()
for queue in pairs(queues) do
  prune(queue, 'cancelled')
end
commit()
tell_cancels()
return cmsgpack.pack(verdicts)
