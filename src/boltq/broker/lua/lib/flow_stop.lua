--@use flow, flow_maps, flow_pause, cancels
-- Cancels steps and workflows, and cuts a workflow short when a step has failed or its time is up.

-- Stops one step. `hard`: a running job is asked to stop too.
function flow.stop_step(w, n, hard)
  local step, is = flow.step(w, n), flow.end_of(w, n)
  if is and is ~= 'started' then return end
  local id = flow.job_of(w, n)
  local fields = call('HMGET', job_key(id), 'state', 'route', 'worker', 'parked', 'ghost', 'phase', 'cancel', 'child')
  local state, route, worker, parked, ghosts, phase, asked_to, child = unpack(fields)
  local stop = state == 'blocked' and PHASES[phase].stop
  if state == 'running' then
    if not asked_to and (hard or step.kind == 'map' or step.kind == 'child') then ask_to_stop(worker, id) end
  elseif stop then
    stop(w, n, child)
  elseif state and MOVES[state].cancelled then
    cancel_waiting(id, route_of(route), state, 'cancelled', parked, ghosts)
    flow.finish(w, n, 'cancelled', nil, flow.run_of(id))
  end
end

function flow.why_cut(w) return w.ending or (w.broken and w.fail_fast and 'broken') or nil end

-- Stops the open steps, once for each reason. flow.again stops a step that would run again after that.
function flow.cut_short(w)
  local why = flow.why_cut(w)
  if w.group > 1 or not why or w.cut == why then return end
  flow.set(w, 'cut', why)
  for _, n in ipairs(flow.numbers(w, 'open:1')) do
    if w.ending or not flow.step(w, n).spared then flow.stop_step(w, n, w.ending) end
  end
end

-- Counts all open steps as looked at: steering a workflow looks at each.
function flow.spend(w) left_over = left_over - call('SCARD', flow_key(w.id, 'open:1')) end

function flow.cancel(w, ending)
  if w.state ~= 'running' then return end
  if w.ending then return flow.resume(w) end -- it was cancelled before, and paused since: what is left of it goes on
  flow.set(w, 'ending', ending)
  flow.touch(w)
  flow.spend(w)
  if not w.paused then return end
  w.paused = nil
  call('HDEL', flow_key(w.id), 'paused')
  for _, n in ipairs(flow.numbers(w, 'held')) do -- cut_short() cancels the others, but no step of `finally`
    local id = call('HGET', flow_key(w.id, 'jobs'), n)
    local phase = call('HGET', job_key(id), 'phase')
    if PHASES[phase].for_jobs or flow.step(w, n).group == 3 then flow.release(id) end
  end
  call('DEL', flow_key(w.id, 'held'))
end

-- Returns true if the sub-workflow has not ended yet.
function flow.stop_child(id)
  local w = flow.open(id)
  if w then flow.cancel(w, 'cancelled') end
  return w and w.state == 'running'
end

-- Stops the jobs that a blocked job waits for, because somebody cancels it. Returns false if it waits for no jobs.
function flow.stop_job(text, phase, child)
  local own, n = unpack(words(text))
  local w, stop = flow.open(own), PHASES[phase].stop
  if not stop or not w or w.state ~= 'running' then return false end
  stop(w, tonumber(n), child)
  return true
end

-- Stops a step that would run again, although its workflow is being stopped.
function flow.work.stop(w, n)
  local step = flow.step(w, n)
  if step.group == 1 and flow.why_cut(w) and (w.ending or not step.spared) then flow.stop_step(w, n, w.ending) end
  return nil
end

function flow.stop_item(w, n, id)
  local fields = call('HMGET', job_key(id), 'state', 'route', 'worker', 'parked', 'ghost', 'cancel', 'flow', 'phase', 'child')
  local state, route, worker, parked, ghosts, asked_to, text, phase, child = unpack(fields)
  local stop = state == 'blocked' and PHASES[phase].stop
  if state == 'running' then
    if not asked_to then ask_to_stop(worker, id) end
  elseif state and MOVES[state].cancelled and not (stop and stop(w, n, child)) then
    places.note(id, text)
    cancel_waiting(id, route_of(route), state, 'cancelled', parked, ghosts)
  end
end

-- Cancels the items of a map that have not ended.
function flow.work.halt(w, n, from)
  local key, jobs_key = flow.map_key(w, n), flow.map_key(w, n, 'jobs')
  local count = math.max(call('HLEN', jobs_key), tonumber(call('HGET', key, 'total')) or 0)
  local item_of = flow.ids_of_items(jobs_key)
  for i = from, count do
    if left_over <= 0 then return i end
    left_over = left_over - 1
    local id = item_of(i, count)
    if id then flow.stop_item(w, n, id) end
  end
  return nil
end
