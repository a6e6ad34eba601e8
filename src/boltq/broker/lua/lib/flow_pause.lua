--@use flow, flow_rules, flow_maps, claims
-- Pauses and resumes workflows.

-- Takes the jobs of a workflow out of their queues. A job that runs, or waits for its next attempt, goes on.
function flow.pause(w)
  if w.paused then return end
  flush()
  flow.set(w, 'paused', NOW)
  flow.touch(w)
  flow.spend(w)
  for group = 1, 3 do
    for _, n in ipairs(flow.numbers(w, 'open:' .. group)) do
      if flow.hold(w, n, call('HGET', flow_key(w.id, 'jobs'), n)) then call('SADD', flow_key(w.id, 'held'), n) end
    end
  end
end

-- Returns true if the sub-workflow has not ended.
function flow.resume_child(id)
  local child = flow.open(id)
  if child and child.state == 'running' then
    flow.resume(child)
    return true
  end
  return false
end

function flow.resume(w)
  if not w.paused then return end
  flow.spend(w)
  if w.deadline then flow.set(w, 'deadline', tonumber(w.deadline) + NOW - tonumber(w.paused)) end
  flow.touch(w)
  w.paused = nil
  call('HDEL', flow_key(w.id), 'paused')
  for _, n in ipairs(flow.numbers(w, 'held')) do
    flow.release(call('HGET', flow_key(w.id, 'jobs'), n))
  end
  call('DEL', flow_key(w.id, 'held'))
  for group = 1, 3 do
    for _, n in ipairs(flow.numbers(w, 'open:' .. group)) do
      local id = call('HGET', flow_key(w.id, 'jobs'), n)
      local state, phase, child = unpack(call('HMGET', job_key(id), 'state', 'phase', 'child'))
      local resume = state == 'blocked' and PHASES[phase].resume
      if resume then resume(w, n, child) end
    end
  end
end

-- Takes the job of a step, or of an item, off its queue; one that waits, as its phase says. Returns true if it was taken.
function flow.hold(w, n, id)
  local fields = call('HMGET', job_key(id), 'state', 'route', 'parked', 'ghost', 'phase', 'child', 'fixed')
  local state, route_text, parked, ghosts, phase, child, fixed = unpack(fields)
  if state == 'queued' then
    local route = route_of(route_text)
    set_ghosts(id, withdraw(id, route, parked, ghosts))
    call('HDEL', job_key(id), 'parked')
    move(id, route, 'queued', 'blocked', NOW)
    return true
  end
  local hold = PHASES[phase].hold
  return hold and hold(w, n, id, { state = state, route = route_text, child = child, fixed = fixed })
end

-- Holds the items of a map that have begun. The workflow is paused.
function flow.work.hold(w, n, from)
  local key, jobs_key = flow.map_key(w, n), flow.map_key(w, n, 'jobs')
  local begun = w.paused and tonumber(call('HGET', key, 'begun')) or 0
  local item_of = flow.ids_of_items(jobs_key)
  flush() -- a job that this call puts into a queue must stand there before it can be taken out
  for i = from, begun do
    if left_over <= 0 then return i end
    left_over = left_over - 1
    local id = item_of(i, begun)
    if id then flow.hold(w, n, id) end
  end
  return nil
end

-- Lets the items of a map go on. The workflow has been resumed.
function flow.work.free(w, n, from)
  local key, jobs_key = flow.map_key(w, n), flow.map_key(w, n, 'jobs')
  local begun = not w.paused and tonumber(call('HGET', key, 'begun')) or 0
  local item_of = flow.ids_of_items(jobs_key)
  for i = from, begun do
    if left_over <= 0 then return i end
    left_over = left_over - 1
    local id = item_of(i, begun)
    if id then
      local state, phase, child = unpack(call('HMGET', job_key(id), 'state', 'phase', 'child'))
      local resume = PHASES[phase].resume
      if state == 'blocked' and not (resume and resume(w, n, child)) then flow.release(id) end
    end
  end
  return nil
end
