--@use flow, flow_rules, flow_maps, cancels
-- Workflows are paused and resumed.

-- What waits in a queue is taken out of it; what runs, or waits for its next attempt, goes on.
function flow.pause(w)
  if w.paused then return end
  flush()
  flow.set(w, 'paused', NOW)
  flow.touch(w)
  flow.spend(w)
  for group = 1, 3 do
    for _, n in ipairs(flow.numbers(w, 'open:' .. group)) do
      if flow.hold(call('HGET', flow_key(w.id, 'jobs'), n)) then
        call('SADD', flow_key(w.id, 'held'), n)
      elseif flow.step(w, n).kind == 'map' then
        w.work[#w.work + 1] = { 'hold', n, 1 }
        flow.touch(w)
      end
    end
  end
end

-- Answers whether it has not ended.
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
      local job = call('HMGET', job_key(id), 'state', 'phase', 'child')
      if job[1] == 'blocked' and job[2] == 'items' then
        w.work[#w.work + 1] = { 'map', n, 1 }
        w.work[#w.work + 1] = { 'free', n, 1 }
        flow.touch(w)
      elseif job[1] == 'blocked' and job[2] == 'child' then
        flow.resume_child(job[3])
      end
    end
  end
end

-- What waits in a queue, for a moment or for a person is taken out of it; of what waits for its own workflow, that is
-- paused. Whether it was taken.
function flow.hold(id)
  local job = call('HMGET', job_key(id), 'state', 'route', 'parked', 'ghost', 'phase', 'child', 'fixed')
  if job[1] == 'scheduled' and (job[5] == 'wait' or job[5] == 'ask') then
    local route = route_of(job[2])
    local scheduled_key = index_key(route.queue, 'scheduled')
    flow.stop_time(id, tonumber(call('ZSCORE', scheduled_key, id)) or NOW, job[7])
    move(id, route, 'scheduled', 'blocked', NOW)
    return true
  end
  if job[1] == 'queued' then
    local route = route_of(job[2])
    set_ghosts(id, withdraw(id, route, job[3], job[4]))
    call('HDEL', job_key(id), 'parked')
    move(id, route, 'queued', 'blocked', NOW)
    return true
  end
  local child = job[1] == 'blocked' and job[5] == 'child' and flow.open(job[6])
  if child and child.state == 'running' then flow.pause(child) end
  return false
end

-- Of a paused workflow: holds the items of a map that have begun.
function flow.work.hold(w, n, from)
  local key, jobs_key = flow.map_key(w, n), flow.map_key(w, n, 'jobs')
  local begun = w.paused and tonumber(call('HGET', key, 'begun')) or 0
  local item_of = flow.ids_of_items(jobs_key)
  flush() -- what stands in no list yet cannot be taken out of it
  for i = from, begun do
    if left_over <= 0 then return i end
    left_over = left_over - 1
    local id = item_of(i, begun)
    if id then flow.hold(id) end
  end
  return nil
end

-- Of one that was resumed: lets them go on.
function flow.work.free(w, n, from)
  local key, jobs_key = flow.map_key(w, n), flow.map_key(w, n, 'jobs')
  local begun = not w.paused and tonumber(call('HGET', key, 'begun')) or 0
  local item_of = flow.ids_of_items(jobs_key)
  for i = from, begun do
    if left_over <= 0 then return i end
    left_over = left_over - 1
    local id = item_of(i, begun)
    local job = id and call('HMGET', job_key(id), 'state', 'phase', 'child') or {}
    if job[1] == 'blocked' and not (job[2] == 'child' and flow.resume_child(job[3])) then flow.release(id) end
  end
  return nil
end
