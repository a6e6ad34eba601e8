-- replay: dead or cancelled -> queued, with all its attempts before it again; not a job of a workflow,
-- which is run again as a whole.
--   ARGV     now, msgpack of [id, since or 0]*
--   returns  msgpack of a word for each: queued, NOT_FOUND, CHANGED <state>, CONFLICT <state> <workflow>
--@use claims, finish
-- A job that was cancelled while it was queued may still stand in its list, as a ghost: there it is alive again.
local function replay(id, state, route, parked, ghosts)
  local list = standing(route, parked)
  local left, found = without_ghost(ghosts, list)
  call('HDEL', job_key(id), 'error', 'reason', 'cancel', 'progress', 'lost', 'tries', 'expires', 'took')
  if found then
    count_ghost(route.queue, list, -1)
    set_ghosts(id, left)
    parked_now[route.queue] = parked_now[route.queue] or parked
    if parked then count_parked(route.queue, 1) end
  elseif parked then
    call('HDEL', job_key(id), 'parked')
  end
  move(id, route, state, 'queued', found and 'ghost' or 'tail')
  tally(route.queue, 'replayed', 1)
  return 'queued'
end

local verdicts = {}
for i, item in ipairs(cmsgpack.unpack(ARGV[2])) do
  local id, wanted = unpack(item)
  local state, since, route, parked, ghosts, flow = unpack(
    call('HMGET', job_key(id), 'state', 'since', 'route', 'parked', 'ghost', 'flow')
  )
  verdicts[i] = refusal(state, since, wanted)
  if verdicts[i] == nil and not flow and (state == 'dead' or state == 'cancelled') then
    verdicts[i] = replay(id, state, route_of(route), parked, ghosts)
  end
  verdicts[i] = verdicts[i] or conflict(state, flow)
end
finish()
return cmsgpack.pack(verdicts)
