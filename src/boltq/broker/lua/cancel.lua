#!lua flags=allow-oom
-- cancel: blocked, scheduled, queued, retrying -> cancelled; a running job is marked, and its worker told.
--   ARGV     now, msgpack of [id, since or 0, reason]*
--   returns  msgpack of a word for each: cancelled, running (its worker will stop it), or a refusal:
--            NOT_FOUND, CHANGED <state>, CONFLICT <state>
--@use claims, cancels, flow_stop, prune, finish
local verdicts, queues = {}, {}

local function cancel(id, wanted, reason)
  local state, path, worker, parked, ghosts, since, place, phase, child = unpack(
    call('HMGET', job_key(id), 'state', 'route', 'worker', 'parked', 'ghost', 'since', 'flow', 'phase', 'child')
  )
  local route = path and route_of(path)
  if route then queues[route.queue] = true end
  local no = refusal(state, since, wanted)
  if no then return no end
  if state == 'running' then
    ask_to_stop(worker, id)
    return 'running'
  end
  if not MOVES[state].cancelled then return state == 'cancelled' and 'cancelled' or 'CONFLICT ' .. state end
  if place and state == 'blocked' and flow.stop_job(place, phase, child) then return 'running' end
  places.note(id, place)
  cancel_waiting(id, route, state, reason, parked, ghosts)
  return 'cancelled'
end

for i, item in ipairs(cmsgpack.unpack(ARGV[2])) do
  verdicts[i] = cancel(unpack(item))
end
flow.go_on()
flush()
for queue in pairs(queues) do
  prune(queue, 'cancelled')
end
finish()
return cmsgpack.pack(verdicts)
