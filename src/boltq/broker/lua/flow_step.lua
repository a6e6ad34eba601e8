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
--@use flow_begin, flow_reruns, flow_go_on
local id, verb, args = ARGV[2], ARGV[5], cmsgpack.unpack(ARGV[6])
local job = call('HMGET', job_key(id), 'state', 'n', 'route', 'cancel', 'flow', 'since', 'worker')
if job[1] ~= 'running' or job[2] ~= ARGV[3] or job[7] ~= ARGV[4] or not job[5] then refuse('LEASE_LOST', id) end
holds.by(ARGV[4])
local route, at = route_of(job[3]), words(job[5])
local w, n = flow.open(at[1]), at[2]
if not w then refuse('LEASE_LOST', id) end

local function cancelled(reason)
  move(id, route, 'running', 'cancelled', NOW, 'reason', reason)
  count_cancelled(route.queue)
  if reason ~= 'skipped' then flow.ended(job[5], id, 'cancelled') end
  return 'cancelled'
end

local say = {}
local WAITS = { wait = PHASES.wait, ask = PHASES.ask, expand = PHASES.items, child = PHASES.child, again = PHASES.child }

local function begin_to_wait(...) call('HSET', job_key(id), 'phase', WAITS[verb].name, 'lost', 0, ...) end

function say.filled()
  call('HSET', job_key(id), 'data', args[1])
  return 'done'
end

function say.skip()
  cancelled('skipped')
  if call('HGET', flow_key(w.id, 'jobs'), n) == id then flow.finish(w, tonumber(n), 'skipped', 'passed') end
  return 'done'
end

-- Until then it waits; when the workflow is paused, no time passes.
local function wait_until(due)
  if w.paused then
    flow.stop_time(id, due, verb == 'wait' and args[2] == 1)
    call('SADD', flow_key(w.id, 'held'), n)
  end
  return w.paused and 'blocked' or 'scheduled', w.paused and NOW or due
end

function say.wait()
  local to, at = wait_until(args[1])
  if args[2] == 1 then call('HSET', job_key(id), 'fixed', 1) end
  move(id, route, 'running', to, at, 'phase', WAITS[verb].name, 'lost', 0)
  flow.again(job[5])
  return 'done'
end

function say.ask()
  local answer = call('HGET', flow_key(w.id, 'answers'), n)
  if answer then return 'answer ' .. answer end
  begin_to_wait('due', args[2])
  if args[1] ~= '' then call('HSET', job_key(id), 'prompt', args[1]) end
  call('ZADD', flows_key('asking'), 'NX', NOW, w.id .. ' ' .. n)
  local to, at = 'blocked', NOW
  if args[2] > 0 then
    to, at = wait_until(args[2])
  end
  move(id, route, 'running', to, at)
  flow.again(job[5])
  return 'done'
end

function say.answer()
  call('HSETNX', flow_key(w.id, 'answers'), n, args[1])
  return 'answer ' .. call('HGET', flow_key(w.id, 'answers'), n)
end

-- So that its keys are found when the workflow is forgotten.
local function note_map()
  local maps = call('HGET', flow_key(w.id), 'maps') or ''
  if not string.find(maps .. ' ', ' ' .. n .. ' ', 1, true) then call('HSET', flow_key(w.id), 'maps', maps .. ' ' .. n) end
end

function say.items()
  local jobs_key = flow_key(w.id, 'map:' .. n .. ':jobs')
  local missing = {}
  for i = 1, #args[2] do
    if call('HEXISTS', jobs_key, args[1] + i - 1) == 0 then missing[#missing + 1] = i end
  end
  if #missing > 0 and not flow.may_spread(w, #missing) then return 'too many' end
  local tags, subs_key = call('HGET', job_key(id), 'tags'), flow_key(w.id, 'map:' .. n .. ':subs')
  local subs = #missing > 0 and call('EXISTS', subs_key) == 1
  for _, i in ipairs(missing) do
    local item, number = args[2][i], args[1] + i - 1
    local wrong = item[3] ~= ''
    call('HSET', jobs_key, number, item[1])
    flow.block_job({ item[1], args[3], item[2], wrong and args[5] or args[4], tags }, w.id .. ' ' .. n .. ' ' .. number .. ' ' .. id)
    local goes_on = subs and call('HGET', subs_key, number)
    if goes_on then call('HSET', job_key(item[1]), 'goes_on', goes_on, 'child', goes_on) end
    if wrong then call('HSET', job_key(item[1]), 'wrong', item[3]) end
  end
  note_map()
  return 'done'
end

function say.expand()
  local key = flow_key(w.id, 'map:' .. n)
  call('HSET', key, 'total', args[1], 'begun', 0, 'most', args[2], 'bearable', args[3])
  note_map()
  begin_to_wait()
  if args[1] == 0 then return 'gather' end
  move(id, route, 'running', 'blocked', NOW)
  flow.to_do(w, 'map', tonumber(n))
  return 'done'
end

function say.child()
  if not flow.may_spread(w, #args[1][3]) then return 'too many' end
  begin_to_wait('child', args[1][1])
  move(id, route, 'running', 'blocked', NOW)
  flow.create(args[1], id, w)
  flow.again(job[5])
  return 'done'
end

function say.again()
  local child = call('HMGET', flow_key(args[1]), 'state', 'gen', 'within', 'alone')
  local runs = child[1] == 'running'
  if not child[1] or child[3] ~= w.id or (runs and not child[4]) then return 'gone' end
  if tonumber(child[2]) ~= args[2] or runs ~= (#args[3] == 0) then return 'moved' end
  if not flow.may_spread(w, #args[3]) then return 'too many' end
  begin_to_wait('child', args[1])
  move(id, route, 'running', 'blocked', NOW)
  if runs then
    flow.adopt(args[1], id, w)
  else
    flow.again_from_start(args[1], args[3], {}, {}, id, w)
  end
  flow.again(job[5])
  return 'done'
end

if WAITS[verb] then call('HSETNX', job_key(id), 'began', job[6]) end
local word = job[4] and (WAITS[verb] or verb == 'skip') and cancelled('cancelled') or say[verb]()
flow.go_on()
count_births()
commit()
tell_cancels()
return word
