--@use flow, look, flow_maps, flow_pause, flow_stop
-- For what a step waits that has begun (`phase` of its job), and what that means for whoever stops, pauses or resumes its
-- workflow. PHASES begins as the table in domain/workflow/phases.py. Each phase has a function for each of these, or false,
-- and scripts.py refuses the library when one says nothing:
--   stop(w, n, child)          stops what the step waits for, and returns true if the step ends with that. False: the
--                              step's job is cancelled like any other that waits
--   hold(w, n, id, job)        the workflow is paused: returns true if it has taken the step's job out of its index
--   resume(w, n, child)        the workflow goes on, and the step's job is blocked: returns true if it stays so. False:
--                              the job is released if the pause has taken it
--   put_off(id, due)           a pause took time: the step waits until another moment
--   context(id, n, child, due) what a worker needs to know that goes on with the step; see flow_look.lua

-- A step that waits for a moment, or for a person until a moment: that is as far away after the pause as before.
local function hold_time(w, n, id, job)
  if job.state ~= 'scheduled' then return false end
  local route = route_of(job.route)
  local scheduled_key = index_key(route.queue, 'scheduled')
  flow.stop_time(id, tonumber(call('ZSCORE', scheduled_key, id)) or NOW, job.fixed)
  move(id, route, 'scheduled', 'blocked', NOW)
  return true
end

PHASES.wait.stop = false
PHASES.wait.hold = hold_time
PHASES.wait.resume = false
PHASES.wait.put_off = false
PHASES.wait.context = false

PHASES.ask.stop = false
PHASES.ask.hold = hold_time
PHASES.ask.resume = false

function PHASES.ask.put_off(id, due) call('HSET', job_key(id), 'due', due) end

function PHASES.ask.context(id, n, child, due) return { call('HGET', flow_key(id, 'answers'), n) or '', tonumber(due) or 0, NOW } end

function PHASES.items.stop(w, n)
  flow.stop_map(w, n)
  return true
end

function PHASES.items.hold(w, n, id, job)
  if job.state == 'blocked' then flow.to_do(w, 'hold', n) end
  return false
end

function PHASES.items.resume(w, n)
  flow.to_do(w, 'map', n)
  flow.to_do(w, 'free', n)
  return true
end

PHASES.items.put_off = false

function PHASES.items.context(id, n)
  local map_key = flow_key(id, 'map:' .. n)
  local results_key, errors_key = map_key .. ':results', map_key .. ':errors'
  return { look.map_row(id, n), call('HGETALL', results_key), call('HGETALL', errors_key), call('HGETALL', map_key) }
end

function PHASES.child.stop(w, n, child) return flow.stop_child(child) end

function PHASES.child.hold(w, n, id, job)
  local inner = job.state == 'blocked' and flow.open(job.child)
  if inner and inner.state == 'running' then flow.pause(inner) end
  return false
end

function PHASES.child.resume(w, n, child) return flow.resume_child(child) end

PHASES.child.put_off = false

function PHASES.child.context(id, n, child) return { child } end

-- Whether the job of an approval waits for the answer now.
function flow.is_asking(state, phase) return phase == PHASES.ask.name and (state == 'blocked' or state == 'scheduled') end

PHASES[false] = {} -- a step that has waited for nothing yet: so the field `phase` of any job finds a row
