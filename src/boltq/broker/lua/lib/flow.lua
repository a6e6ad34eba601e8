--@use moves
-- The record of a workflow, as far as a call has read it, and how a step is marked as ended. The neighbours flow_*.lua
-- hold the rest: flow_go_on.lua is where a call begins.
--
-- Every step is one job; the jobs of steps that have not begun are `blocked`. A step's number says where it stands in an
-- order in which the steps can run. The field `flow` of a job says "workflow step", and of an item of a map "workflow
-- step item map's-job".
--
-- HASH  workflow:<id>
--       state, group: 1 steps, 2 on_failure, 3 finally; policy, deadline, paused: since when; todo: see flow.work
--       broken: a step failed; lost: a step was cancelled; untidy: a step of `finally` failed
--       ending: why the workflow is being stopped; cut: the reason for which its open steps have been stopped
--       handlers: it has steps in group 2 or 3; maps: numbers of the steps that are maps
--       parent: the job that waits for this workflow; within: the workflow of that job, with which this one is deleted
--       spread: how many jobs the maps and sub-workflows on all levels have made; only the outermost workflow counts
--       alone: it runs again, and `within` has ended; busy: how many workflows within it are alone
-- HASH  steps: number -> msgpack of a StepInfoRow. `job` is missing after a rerun that left the step as it was: ask `jobs`
-- HASH  ends: number -> 'started', or 'state standing when'; nothing while the step is pending. An ended step that had
--       begun adds: runs that counted, deliveries, when it began or 0, its sub-workflow or -, its worker or -. So all
--       this is known when its job is gone
-- HASH  inputs: number -> data of an ended step's job, if references were filled in
-- HASH  left: number -> how many steps it still waits for; the last of them that ends decides whether it runs
-- HASH  past:<generation>: an earlier run: `head` -> its fields, number -> StepRow of a step that has run again since
-- HASH  map:<number>: total, begun, most: how many run at a time; bearable: how many may fail; stopped; bytes of results;
--       ahead: items that completed in an earlier run and come after those that have begun
local flow = { MOST = 300, CLEARED = 200 }
flow.PAST, flow.PAST_BYTES = 10, 8388608 -- earlier runs that stay readable, and what each may keep of data and errors
flow.keeps = {} -- how long ended workflows are kept, as far as this call has read it
flow.work = {} -- kind -> function(w, n, from) that does a part of the work, and returns where to go on, or nil at the end
-- Workflows that this call has read, by id; those of them that it has changed; how many steps it may still look at.
local opened, changed, left_over = {}, {}, 0
local in_use = false -- this call has opened a workflow; most do not
local stale -- a workflow is gone that may have been the next one due

local function begin_flow()
  left_over, stale, flow.over = flow.MOST, false, 0 -- over: how many workflows this call has ended
  if in_use then -- or else these are empty still
    opened, changed, flow.keeps, in_use = {}, {}, {}, false
  end
end

flow.HEAD = {
  'state', 'group', 'policy', 'todo', 'ending', 'broken', 'lost', 'untidy', 'paused', 'deadline', 'parent', 'cut', 'within',
  'handlers', 'alone', 'busy',
}

function flow.open(id)
  in_use = true
  local w = opened[id]
  if w ~= nil then return w end
  local head = call('HMGET', flow_key(id), unpack(flow.HEAD))
  local state, group, policy, todo = unpack(head, 1, 4)
  w = state and {
    id = id, state = state, group = tonumber(group), fail_fast = policy == 'fail_fast',
    work = todo and cmsgpack.unpack(todo) or {}, had_work = todo, steps = {}, ends = {}, -- as far as they are known
  }
  for i = 5, w and #flow.HEAD or 0 do -- most are not there, and a small table is made fast
    if head[i] then w[flow.HEAD[i]] = head[i] end
  end
  opened[id] = w
  return w
end

function flow.touch(w)
  if not w.touched then
    w.touched = true
    changed[#changed + 1] = w
  end
end

-- Adds a function of flow.work to what is left to do. The one that was added last is done first.
function flow.to_do(w, what, n)
  w.work[#w.work + 1] = { what, n, 1 }
  flow.touch(w)
end

function flow.set(w, field, value)
  w[field] = value
  call('HSET', flow_key(w.id), field, value)
end

function flow.read_step(row)
  local rule, kind = row[StepInfoRow.rule], row[StepInfoRow.kind]
  local step = {
    group = row[StepInfoRow.group], parents = row[StepInfoRow.parents], awaits = row[StepInfoRow.awaits],
    dependents = row[StepInfoRow.dependents], rule = rule, job = row[StepInfoRow.job],
  }
  if rule == 'at_least' then step.at_least = row[StepInfoRow.at_least] end
  if row[StepInfoRow.allow_failure] == 1 then step.allowed = true end
  if row[StepInfoRow.spared] == 1 then step.spared = true end
  if kind ~= 'job' then step.kind = kind end
  return step
end

function flow.step(w, n)
  local step = w.steps[n]
  if not step then
    step = flow.read_step(cmsgpack.unpack(call('HGET', flow_key(w.id, 'steps'), n)))
    w.steps[n] = step
  end
  return step
end

function flow.job_of(w, n) return flow.step(w, n).job or call('HGET', flow_key(w.id, 'jobs'), n) end

function flow.end_of(w, n)
  if w.ends[n] == nil then w.ends[n] = call('HGET', flow_key(w.id, 'ends'), n) end
  return w.ends[n]
end

function flow.set_end(w, n, text)
  w.ends[n] = text
  call('HSET', flow_key(w.id, 'ends'), n, text)
end

-- Reads the ends of these steps, and of step `n`, as far as this call has not read them.
function flow.read_ends(w, numbers, n)
  local missing = n and w.ends[n] == nil and { n }
  for i = 1, #numbers do
    if w.ends[numbers[i]] == nil then
      missing = missing or {}
      missing[#missing + 1] = numbers[i]
    end
  end
  if not missing then return end
  local found = call('HMGET', flow_key(w.id, 'ends'), unpack(missing))
  for i = 1, #missing do
    w.ends[missing[i]] = found[i]
  end
end

function flow.numbers(w, part)
  local list = call('SMEMBERS', flow_key(w.id, part))
  for i = 1, #list do
    list[i] = tonumber(list[i])
  end
  table.sort(list)
  return list
end

function flow.standing(step, state)
  if state == 'completed' then return 'good' end
  if step.allowed then return 'tolerated' end
  return state == 'failed' and 'bad' or 'lost'
end

-- Marks a step as ended. `run`: how its job ran, as flow.run_of returns it.
function flow.finish(w, n, state, standing, run)
  local step = flow.step(w, n)
  flow.set_end(w, n, state .. ' ' .. (standing or flow.standing(step, state)) .. ' ' .. NOW .. (run or ''))
  if w.alive == n then w.alive = nil end
  if step.kind == 'approval' then call('ZREM', flows_key('asking'), w.id .. ' ' .. n) end
  call('SREM', flow_key(w.id, 'open:' .. step.group), n)
  local fails = (state == 'failed' or state == 'cancelled') and not step.allowed
  if step.group == 1 and fails and not w.broken then flow.set(w, 'broken', 1) end
  if step.group == 1 and state == 'cancelled' and not w.lost then flow.set(w, 'lost', 1) end
  if step.group == 3 and fails and not w.untidy then flow.set(w, 'untidy', 1) end
  flow.to_do(w, 'tell', n)
  if step.kind == 'map' and state ~= 'completed' then flow.to_do(w, 'halt', n) end
end

function flow.run_of(id)
  local fields = call('HMGET', job_key(id), 'tries', 'n', 'began', 'since', 'took', 'child', 'worker')
  local tries, deliveries, began, since, took, child, worker = unpack(fields)
  began = began or (took and since - took) or 0
  return string.format(' %d %d %d %s %s', tries or 0, deliveries or 0, began, child or '-', worker or '-')
end

function flow.write_all(verb, key, list)
  for i = 1, #list, MOST_ARGUMENTS do
    call(verb, key, unpack(list, i, math.min(#list, i + MOST_ARGUMENTS - 1)))
  end
end
