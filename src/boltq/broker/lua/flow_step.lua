#!lua flags=allow-oom
-- flow_step: the worker that has claimed a step's job says what the step does instead of running, or before it.
--   ARGV     now, job, delivery, worker, verb, msgpack of what belongs to it
--            filled [data]: nothing moves; the job shows its data with all references filled in
--            skip []: `when` is false; running -> cancelled
--            wait [until, 1 when that is a moment that a pause does not put off]: running -> scheduled; blocked in a pause
--            ask [prompt, or '': as it is; until or 0]: running -> blocked, or scheduled until nobody waits any more
--            answer [answer]: what counts as the answer, when nobody gave one in time
--            items [first, [id, data, what is wrong]*, route, spec, spec of what is wrong]: blocked jobs of a map, but
--            for items that are there; may be repeated
--            expand [total, at a time, failures to bear]: running -> blocked, and the first items -> queued
--            child [workflow]: a new workflow, see flow_submit; running -> blocked
--            again [child, its generation, steps as in flow_rerun]: that one goes on; running -> blocked. Without steps:
--            one that runs again by itself is waited for
--   returns  a word: done, cancelled (somebody asked for that meanwhile), answer <JSON>, gather (a map without items);
--            or a word with which nothing moves: too many (items, or steps of a child), gone (that child is there no
--            more), moved (that child is not as it was)
--   refuses  LEASE_LOST
--@use flow_begin, flow_reruns, finish
local id, delivery, worker, verb = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local fields = call('HMGET', job_key(id), 'state', 'n', 'route', 'cancel', 'flow', 'since', 'worker')
local state, present, route_text, asked_to, place, since, holder = unpack(fields)
if state ~= 'running' or present ~= delivery or holder ~= worker or not place then refuse('LEASE_LOST', id) end
holds.by(worker)
local route = route_of(route_text)
local own, n = unpack(words(place))
local w = flow.open(own)
if not w then refuse('LEASE_LOST', id) end

local function cancelled(reason)
  move(id, route, 'running', 'cancelled', NOW, 'reason', reason)
  return 'cancelled'
end

local say = {}
local WAITS = { wait = PHASES.wait, ask = PHASES.ask, expand = PHASES.items, child = PHASES.child, again = PHASES.child }

local function begin_to_wait(...) call('HSET', job_key(id), 'phase', WAITS[verb].name, 'lost', 0, ...) end

function say.filled(data)
  call('HSET', job_key(id), 'data', data)
  return 'done'
end

function say.skip()
  cancelled('skipped')
  if call('HGET', flow_key(w.id, 'jobs'), n) == id then flow.finish(w, tonumber(n), 'skipped', 'passed') end
  return 'done'
end

-- Returns where the job waits until `due`: if the workflow is paused, it is blocked, and no time passes.
local function wait_until(due, is_fixed)
  if w.paused then
    flow.stop_time(id, due, is_fixed)
    call('SADD', flow_key(w.id, 'held'), n)
  end
  return w.paused and 'blocked' or 'scheduled', w.paused and NOW or due
end

function say.wait(due, fixed)
  local to, at = wait_until(due, fixed == 1)
  if fixed == 1 then call('HSET', job_key(id), 'fixed', 1) end
  move(id, route, 'running', to, at, 'phase', WAITS[verb].name, 'lost', 0)
  return 'done'
end

function say.ask(prompt, due)
  local answer = call('HGET', flow_key(w.id, 'answers'), n)
  if answer then return 'answer ' .. answer end
  begin_to_wait('due', due)
  if prompt ~= '' then call('HSET', job_key(id), 'prompt', prompt) end
  call('ZADD', flows_key('asking'), 'NX', NOW, w.id .. ' ' .. n)
  local to, at = 'blocked', NOW
  if due > 0 then
    to, at = wait_until(due)
  end
  move(id, route, 'running', to, at)
  return 'done'
end

function say.answer(answer)
  call('HSETNX', flow_key(w.id, 'answers'), n, answer)
  return 'answer ' .. call('HGET', flow_key(w.id, 'answers'), n)
end

-- Notes that the step is a map: its keys are deleted with the workflow.
local function note_map()
  local maps = call('HGET', flow_key(w.id), 'maps') or ''
  if not string.find(maps .. ' ', ' ' .. n .. ' ', 1, true) then call('HSET', flow_key(w.id), 'maps', maps .. ' ' .. n) end
end

function say.items(first, items, item_route, spec, spec_of_wrong)
  local jobs_key = flow_key(w.id, 'map:' .. n .. ':jobs')
  local missing = {}
  for i = 1, #items do
    if call('HEXISTS', jobs_key, first + i - 1) == 0 then missing[#missing + 1] = i end
  end
  if #missing > 0 and not flow.may_spread(w, #missing) then return 'too many' end
  local tags, subs_key = call('HGET', job_key(id), 'tags'), flow_key(w.id, 'map:' .. n .. ':subs')
  local subs = #missing > 0 and call('EXISTS', subs_key) == 1
  for _, i in ipairs(missing) do
    local number = first + i - 1
    local item, data, wrong = unpack(items[i])
    local is_wrong = wrong ~= ''
    call('HSET', jobs_key, number, item)
    local job = { item, item_route, data, is_wrong and spec_of_wrong or spec, tags }
    flow.block_job(job, w.id .. ' ' .. n .. ' ' .. number .. ' ' .. id)
    local goes_on = subs and call('HGET', subs_key, number)
    if goes_on then call('HSET', job_key(item), 'goes_on', goes_on, 'child', goes_on) end
    if is_wrong then call('HSET', job_key(item), 'wrong', wrong) end
  end
  note_map()
  return 'done'
end

function say.expand(total, most, bearable)
  local key = flow_key(w.id, 'map:' .. n)
  call('HSET', key, 'total', total, 'begun', 0, 'most', most, 'bearable', bearable)
  note_map()
  begin_to_wait()
  if total == 0 then return 'gather' end
  move(id, route, 'running', 'blocked', NOW)
  flow.to_do(w, 'map', tonumber(n))
  return 'done'
end

function say.child(new)
  local child, _, steps = unpack(new)
  if not flow.may_spread(w, #steps) then return 'too many' end
  begin_to_wait('child', child)
  move(id, route, 'running', 'blocked', NOW)
  flow.create(new, id, w)
  return 'done'
end

function say.again(child, generation, steps)
  local its_state, its_generation, within, alone = unpack(call('HMGET', flow_key(child), 'state', 'gen', 'within', 'alone'))
  local runs = its_state == 'running'
  if not its_state or within ~= w.id or (runs and not alone) then return 'gone' end
  if tonumber(its_generation) ~= generation or runs ~= (#steps == 0) then return 'moved' end
  if not flow.may_spread(w, #steps) then return 'too many' end
  begin_to_wait('child', child)
  move(id, route, 'running', 'blocked', NOW)
  if runs then
    flow.adopt(child, id, w)
  else
    flow.again_from_start(child, steps, {}, {}, id, w)
  end
  return 'done'
end

if WAITS[verb] then call('HSETNX', job_key(id), 'began', since) end
local is_cancelled = asked_to and (WAITS[verb] or verb == 'skip')
if is_cancelled or verb ~= 'skip' then places.note(id, place) end -- a step that is skipped ends otherwise than its job
local word = is_cancelled and cancelled('cancelled') or say[verb](unpack(cmsgpack.unpack(ARGV[6])))
finish()
return word
