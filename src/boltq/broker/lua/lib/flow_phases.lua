--@use flow, look, flow_maps, flow_pause, flow_stop
-- What a step waits for after it has begun (the field `phase` of its job), and what to do when its workflow is stopped,
-- paused or resumed. PHASES has the rows and names of domain/workflow/phases.py; this file adds functions. Each phase has
-- each of these, or false; scripts.py refuses a library in which one is missing:
--   stop(w, n, child)          stops the jobs that the step waits for, and returns true if the step will end with them.
--                              false: the step's job is cancelled like any job that waits
--   hold(w, n, id, job)        pauses what the step waits for, and returns true if it has blocked the step's job
--   resume(w, n, child)        resumes what the blocked step waits for, and returns true if the step still waits.
--                              false: only a job that the pause has blocked goes on
--   put_off(id, due)           notes the new moment until which the step waits: a pause has put it off
--   context(id, n, child, due) what a worker needs to know to go on with the step: `later` in flow_look.lua

-- Blocks a step that waits until a moment. After the pause that moment is as far away as before.
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

-- Returns true if the job of an approval waits for an answer now.
function flow.is_asking(state, phase) return phase == PHASES.ask.name and (state == 'blocked' or state == 'scheduled') end

PHASES[false] = {} -- the field is missing: the step has waited for nothing yet
