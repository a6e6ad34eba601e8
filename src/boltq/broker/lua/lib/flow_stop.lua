--@use flow, flow_maps, flow_pause, cancels
-- Steps and workflows are cancelled; a workflow is cut short when a step failed, or its time is up.

-- `hard`: what runs shall stop too.
function flow.stop_step(w, n, hard)
  local step, is = flow.step(w, n), flow.end_of(w, n)
  if is and is ~= 'started' then return end
  local id = flow.job_of(w, n)
  local job = call('HMGET', job_key(id), 'state', 'route', 'worker', 'parked', 'ghost', 'phase', 'cancel', 'child')
  if job[1] == 'running' then
    if not job[7] and (hard or step.kind == 'map' or step.kind == 'child') then ask_to_stop(job[3], id) end
  elseif job[1] == 'blocked' and job[6] == 'items' then
    flow.stop_map(w, n)
  elseif job[1] == 'blocked' and job[6] == 'child' then
    flow.stop_child(job[8])
  elseif job[1] and MOVES[job[1]].cancelled then
    cancel_waiting(id, route_of(job[2]), job[1], 'cancelled', job[4], job[5])
    flow.finish(w, n, 'cancelled', nil, flow.run_of(id))
  end
end

function flow.why_cut(w) return w.ending or (w.broken and w.fail_fast and 'broken') or nil end

-- Once for each reason: what would run again after that is stopped by flow.again.
function flow.cut_short(w)
  local why = flow.why_cut(w)
  if w.group > 1 or not why or w.cut == why then return end
  flow.set(w, 'cut', why)
  for _, n in ipairs(flow.numbers(w, 'open:1')) do
    if w.ending or not flow.step(w, n).spared then flow.stop_step(w, n, w.ending) end
  end
end

-- Steering a workflow costs as much as it has open steps.
function flow.spend(w) left_over = left_over - call('SCARD', flow_key(w.id, 'open:1')) end

function flow.cancel(w, ending)
  if w.state ~= 'running' then return end
  if w.ending then return flow.resume(w) end -- it was paused after that, and what is left of it shall go on
  flow.set(w, 'ending', ending)
  flow.touch(w)
  flow.spend(w)
  if not w.paused then return end
  w.paused = nil
  call('HDEL', flow_key(w.id), 'paused')
  for _, n in ipairs(flow.numbers(w, 'held')) do -- what waits for no queue is cancelled with all others; not `finally`
    local id = call('HGET', flow_key(w.id, 'jobs'), n)
    local phase = call('HGET', job_key(id), 'phase')
    if phase == 'items' or phase == 'child' or flow.step(w, n).group == 3 then flow.release(id) end
  end
  call('DEL', flow_key(w.id, 'held'))
end

-- Answers whether it has not ended.
function flow.stop_child(id)
  local w = flow.open(id)
  if w then flow.cancel(w, 'cancelled') end
  return w and w.state == 'running'
end

-- Somebody wants to cancel one job: whether it is one that waits for its items or its workflow, which are stopped then.
function flow.stop_job(text, phase, child)
  local at = words(text)
  local w = flow.open(at[1])
  if not w or w.state ~= 'running' then return false end
  if phase == 'items' then
    flow.stop_map(w, tonumber(at[2]))
  elseif phase == 'child' then
    flow.stop_child(child)
  end
  return phase == 'items' or phase == 'child'
end

-- A step of a workflow that was cut short would run again.
function flow.work.stop(w, n)
  local step = flow.step(w, n)
  if step.group == 1 and flow.why_cut(w) and (w.ending or not step.spared) then flow.stop_step(w, n, w.ending) end
  return nil
end

-- Cancels the items that have not ended.
function flow.work.halt(w, n, from)
  local key, jobs_key = flow.map_key(w, n), flow.map_key(w, n, 'jobs')
  local count = math.max(call('HLEN', jobs_key), tonumber(call('HGET', key, 'total')) or 0)
  local item_of = flow.ids_of_items(jobs_key)
  for i = from, count do
    if left_over <= 0 then return i end
    left_over = left_over - 1
    local id = item_of(i, count)
    local job = id and call('HMGET', job_key(id), 'state', 'route', 'worker', 'parked', 'ghost', 'cancel', 'flow', 'phase', 'child')
    local waits = job and job[1] == 'blocked' and job[8] == 'child' and flow.stop_child(job[9]) -- for the end of that
    if job and job[1] == 'running' then
      if not job[6] then ask_to_stop(job[3], id) end
    elseif job and job[1] and MOVES[job[1]].cancelled and not waits then
      cancel_waiting(id, route_of(job[2]), job[1], 'cancelled', job[4], job[5])
      flow.ended(job[7], id, 'cancelled')
    end
  end
  return nil
end
