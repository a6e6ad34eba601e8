-- edit: what a waiting job carries is changed: its payload, tags, priority, or time (scheduled, retrying -> queued when
-- it has come, queued -> scheduled when it lies ahead). With another priority it goes to the tail of that list.
-- The payload of a workflow's job is the workflow's.
--   ARGV     now, msgpack of maps with id and any of data, by (whose data they are), tags (words), priority,
--            run_at (ms; 0: now)
--   returns  msgpack of a word for each: edited <state>, NOT_FOUND, CONFLICT <state> <workflow, if that is why>
--@use claims, finish
local place = {} -- state -> function (id, old route, new route, when or nil, parked, ghosts) that answers the new state

function place.queued(id, old, route, due, parked, ghosts)
  local later = due and due > NOW
  if not later and (parked or old.list == route.list) then return 'queued' end
  set_ghosts(id, withdraw(id, old, parked, ghosts))
  if not later then
    push(noted('RPUSH', list_key(route.queue, route.list)), id)
    return 'queued'
  end
  call('HDEL', job_key(id), 'parked')
  move(id, route, 'queued', 'scheduled', due)
  return 'scheduled'
end

local function waiting(state)
  return function(id, _, route, due)
    if not due then return state end
    if due <= NOW then
      move(id, route, state, 'queued', 'tail')
      return 'queued'
    end
    local scores, timed = noted('ZADD', index_key(route.queue, state)), route.queue .. ' ' .. state
    push(scores, due)
    push(scores, id)
    soonest[timed] = math.min(due, soonest[timed] or due)
    return state
  end
end
place.scheduled, place.retrying = waiting('scheduled'), waiting('retrying')

local function edit(id, item)
  local state, path, parked, ghosts, flow = unpack(call('HMGET', job_key(id), 'state', 'route', 'parked', 'ghost', 'flow'))
  local no = refusal(state, 0, 0) or not place[state] and conflict(state) or item.data and flow and conflict(state, flow)
  if no then return no end
  local old = route_of(path)
  local route = item.priority and route_of(old.queue .. ' ' .. item.priority .. ' ' .. old.type) or old
  state = place[state](id, old, route, item.run_at, parked, ghosts)
  if route ~= old then call('HSET', job_key(id), 'route', route.text) end
  if item.data then call('HSET', job_key(id), 'data', item.data) end
  if item.by then call('HSET', job_key(id), 'by', item.by) end
  if item.tags == '' then
    call('HDEL', job_key(id), 'tags')
  elseif item.tags then
    call('HSET', job_key(id), 'tags', item.tags)
  end
  announce(id, route, state, 'edited')
  return 'edited ' .. state
end

local verdicts = {}
for i, item in ipairs(cmsgpack.unpack(ARGV[2])) do
  verdicts[i] = edit(item.id, item)
end
finish()
return cmsgpack.pack(verdicts)
