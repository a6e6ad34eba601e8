--@use cancels, births, prune
-- Workflows: what follows when a step ends. Every step is one job; the others wait as `blocked`. Steps go by numbers,
-- in an order in which they can run. A job of a workflow has the field `flow`: "workflow step", and for an item of a
-- map "workflow step item map's-job".
--
-- The workflow's hash: state, group (1 steps, 2 on_failure, 3 finally), policy, ending, broken: a step failed, lost: a
-- step was cancelled, untidy: a step of `finally` failed, cut: for what it was cut short, paused, deadline, parent: the
-- job that waits for it, within: the workflow of that job, with which it goes, handlers: it has such groups, maps, todo,
-- spread: of one that is within no other, how many jobs maps and sub-workflows have made on all levels. alone: it runs
-- again by itself, while the workflow that it is within has ended; busy: how many such ones are within it.
-- steps  number -> msgpack of [id, group, parents, awaits, dependents, rule, at least, allow failure, spared, kind,
--        reads, job]: the job stands in `jobs` too, and only there after a rerun that left the step as it was
-- ends   number -> 'started', or 'state standing when', and of a step that has begun: runs that counted, deliveries, when
--        it began or 0, its sub-workflow or -, who ran it or -: its job may be gone before the workflow is. Nothing: pending
-- inputs number -> the data of an ended step's job where references were filled in
-- left   number -> for how many steps it still waits: a step that ends counts it down, and decides what waits no more
-- past:<generation>  of an earlier run: head, its fields, and by number the steps that have run again since, see flow_get.lua
-- map:<number>   total, begun, most at a time, bearable: failures, stopped, bytes of results, ahead: items after
--                those that have begun that completed in an earlier run
local flow = { EARLY = { one_success = true, one_failed = true, one_done = true, at_least = true }, MOST = 300, CLEARED = 200 }
flow.PAST, flow.PAST_BYTES = 10, 8388608 -- earlier runs that stay readable, and what each may keep of data and errors
flow.ERRORS = 20 -- of a map's items that are kept with the map
local opened, changed, left_over -- workflows of this call by id; those in which something happened; steps that may follow
local stale -- whether it has to be found out anew when the first workflow wants to be looked at

local function begin_flow()
  opened, changed, left_over, stale = {}, {}, flow.MOST, false
  flow.over, flow.keeps = 0, nil -- how many have ended in this call; how long they are kept
end

do -- the library may have 200 names of its own, and these need not be among them

flow.HOLDS = {
  all_success = function(n) return n.bad + n.lost + n.passed == 0 end,
  none_failed = function(n) return n.bad + n.lost == 0 end,
  none_failed_min_one_success = function(n) return n.bad + n.lost == 0 and n.good > 0 end,
  all_failed = function(n) return n.open + n.good + n.lost + n.passed == 0 end,
  all_skipped = function(n) return n.open + n.good + n.bad + n.tolerated + n.lost == 0 end,
  one_success = function(n) return n.good > 0 end,
  one_failed = function(n) return n.bad + n.tolerated > 0 end,
  one_done = function(n) return n.good + n.bad + n.tolerated > 0 end,
  at_least = function(n, step) return n.good >= step.at_least end,
  all_done = function() return true end,
}

flow.HEAD = {
  'state', 'group', 'policy', 'todo', 'ending', 'broken', 'lost', 'untidy', 'paused', 'deadline', 'parent', 'cut', 'within',
  'handlers', 'alone', 'busy',
}

function flow.open(id)
  local w = opened[id]
  if w ~= nil then return w end
  local head = call('HMGET', flow_key(id), unpack(flow.HEAD))
  w = head[1] and {
    id = id, state = head[1], group = tonumber(head[2]), fail_fast = head[3] == 'fail_fast',
    work = head[4] and cmsgpack.unpack(head[4]) or {}, had_work = head[4], steps = {}, ends = {}, -- as far as they are known
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

local function set_flow(w, field, value)
  w[field] = value
  call('HSET', flow_key(w.id), field, value)
end

function flow.read_step(row)
  local step = { group = row[2], parents = row[3], awaits = row[4], dependents = row[5], rule = row[6], job = row[12] }
  if row[6] == 'at_least' then step.at_least = row[7] end
  if row[8] == 1 then step.allowed = true end
  if row[9] == 1 then step.spared = true end
  if row[10] ~= 'job' then step.kind = row[10] end
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

-- Reads the ends that this call does not know yet.
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

-- Ends

function flow.standing(step, state)
  if state == 'completed' then return 'good' end
  if step.allowed then return 'tolerated' end
  return state == 'failed' and 'bad' or 'lost'
end

-- `run`: what belongs behind the time, with a space before it.
function flow.finish(w, n, state, standing, run)
  local step = flow.step(w, n)
  flow.set_end(w, n, state .. ' ' .. (standing or flow.standing(step, state)) .. ' ' .. NOW .. (run or ''))
  if w.alive == n then w.alive = nil end
  if step.kind == 'approval' then call('ZREM', flows_key('asking'), w.id .. ' ' .. n) end
  call('SREM', flow_key(w.id, 'open:' .. step.group), n)
  local fails = (state == 'failed' or state == 'cancelled') and not step.allowed
  if step.group == 1 and fails and not w.broken then set_flow(w, 'broken', 1) end
  if step.group == 1 and state == 'cancelled' and not w.lost then set_flow(w, 'lost', 1) end
  if step.group == 3 and fails and not w.untidy then set_flow(w, 'untidy', 1) end
  w.work[#w.work + 1] = { 'tell', n, 1 }
  if step.kind == 'map' and state ~= 'completed' then w.work[#w.work + 1] = { 'halt', n, 1 } end
  flow.touch(w)
end

flow.ENDS = { completed = 'completed', dead = 'failed', cancelled = 'cancelled' }
flow.ITEMS = { completed = 'good', dead = 'bad', cancelled = 'gone' }

function flow.run_of(id)
  local job = call('HMGET', job_key(id), 'tries', 'n', 'began', 'since', 'took', 'child', 'worker')
  local began = job[3] or (job[5] and job[4] - job[5]) or 0
  return string.format(' %d %d %d %s %s', job[1] or 0, job[2] or 0, began, job[6] or '-', job[7] or '-')
end

-- A job of a workflow has ended. Only the step's present job counts, and only once. `run`: what flow.run_of would say of a
-- plain job; `inputs`: its data, where they were filled in.
function flow.ended(text, id, state, result, err, run, inputs)
  local own, number, rest = string.match(text, '^(%S+) (%d+)(.*)$')
  local w, n = flow.open(own), tonumber(number)
  if not w or w.state ~= 'running' then return end
  if rest ~= '' then
    local i, parent = string.match(rest, '(%d+) (%S+)')
    return flow.item_ended(w, n, tonumber(i), parent, state, result, err)
  end
  local is = flow.end_of(w, n)
  if flow.job_of(w, n) ~= id or (is and is ~= 'started') then return end
  if result then call('HSET', flow_key(w.id, 'results'), n, result) end
  if err then call('HSET', flow_key(w.id, 'errors'), n, err) end
  if inputs then call('HSET', flow_key(w.id, 'inputs'), n, inputs) end
  if flow.step(w, n).kind then run = nil end -- of what is no plain job, the last run is not all
  flow.finish(w, n, flow.ENDS[state], nil, run or flow.run_of(id))
end

-- A job of a workflow is going to run again: not when its workflow is being stopped. That is found out before this call
-- claims anything, whatever is left to do: else the step would run once more.
function flow.again(text)
  local at = words(text)
  local w = flow.open(at[1])
  if w and w.state == 'running' and flow.why_cut(w) then
    w.back = w.back or {}
    w.back[#w.back + 1] = tonumber(at[2])
    flow.touch(w)
  end
end

-- Beginnings

function flow.release(id)
  local job = call('HMGET', job_key(id), 'state', 'route', 'left', 'fixed', 'phase')
  if job[1] ~= 'blocked' then return false end
  local due = job[3] and (tonumber(job[3]) + (job[4] and 0 or NOW))
  if due then call('HDEL', job_key(id), 'left') end
  if due and due > NOW then
    if job[5] == 'ask' then call('HSET', job_key(id), 'due', due) end
    move(id, route_of(job[2]), 'blocked', 'scheduled', due)
  else
    move(id, route_of(job[2]), 'blocked', 'queued', 'tail')
  end
  return true
end

-- No time passes for it any more: of a job that waits until `due`, how much is left; of a fixed moment, that moment.
function flow.stop_time(id, due, fixed)
  call('HSET', job_key(id), 'left', fixed and due or math.max(0, due - NOW))
end

local function start(w, n)
  flow.set_end(w, n, 'started')
  w.alive = n -- one that has not ended
  if w.paused then
    call('SADD', flow_key(w.id, 'held'), n)
  else
    flow.release(flow.job_of(w, n))
  end
end

local function drop_job(w, n, reason)
  local id = flow.job_of(w, n)
  local job = call('HMGET', job_key(id), 'state', 'route')
  if job[1] == 'blocked' then cancel_waiting(id, route_of(job[2]), 'blocked', reason) end
end

local function skip(w, n, standing)
  drop_job(w, n, 'skipped')
  flow.finish(w, n, 'skipped', standing)
end

flow.counts = {}

local function counts_of(w, numbers)
  local counts = flow.counts -- only good until the next count
  counts.open, counts.good, counts.tolerated, counts.bad, counts.lost, counts.passed = 0, 0, 0, 0, 0, 0
  flow.read_ends(w, numbers)
  for i = 1, #numbers do
    local text = w.ends[numbers[i]]
    local standing = text and string.match(text, ' (%a+) ') or 'open'
    counts[standing] = counts[standing] + 1
  end
  return counts
end

-- Whether a step runs, is skipped, or waits on; nothing when it has begun, or ended.
local function decide(w, n, left)
  local step = flow.step(w, n)
  if step.group > w.group then return end -- a person may cancel a handler's step before its group's turn
  left = left or tonumber(call('HGET', flow_key(w.id, 'left'), n)) or 0
  local waits = left > 0
  if waits and not flow.EARLY[step.rule] then return end
  flow.read_ends(w, step.parents, n)
  if w.ends[n] or (waits and counts_of(w, step.awaits).open > 0) then return end
  local counts = counts_of(w, step.parents)
  if flow.HOLDS[step.rule](counts, step) then
    start(w, n)
  elseif not waits then
    skip(w, n, counts.bad + counts.lost > 0 and 'lost' or 'passed')
  end
end

local function decide_all(w, group)
  for _, n in ipairs(flow.numbers(w, 'open:' .. group)) do
    decide(w, n)
  end
end

-- Stopping

local stop_map, stop_child

-- `hard`: what runs shall stop too.
local function stop_step(w, n, hard)
  local step, is = flow.step(w, n), flow.end_of(w, n)
  if is and is ~= 'started' then return end
  local id = flow.job_of(w, n)
  local job = call('HMGET', job_key(id), 'state', 'route', 'worker', 'parked', 'ghost', 'phase', 'cancel', 'child')
  if job[1] == 'running' then
    if not job[7] and (hard or step.kind == 'map' or step.kind == 'child') then ask_to_stop(job[3], id) end
  elseif job[1] == 'blocked' and job[6] == 'items' then
    stop_map(w, n)
  elseif job[1] == 'blocked' and job[6] == 'child' then
    stop_child(job[8])
  elseif job[1] and MOVES[job[1]].cancelled then
    cancel_waiting(id, route_of(job[2]), job[1], 'cancelled', job[4], job[5])
    flow.finish(w, n, 'cancelled', nil, flow.run_of(id))
  end
end

function flow.why_cut(w) return w.ending or (w.broken and w.fail_fast and 'broken') or nil end

-- Once for each reason: what would run again after that is stopped by flow.again.
local function cut_short(w)
  local why = flow.why_cut(w)
  if w.group > 1 or not why or w.cut == why then return end
  set_flow(w, 'cut', why)
  for _, n in ipairs(flow.numbers(w, 'open:1')) do
    if w.ending or not flow.step(w, n).spared then stop_step(w, n, w.ending) end
  end
end

-- Steering a workflow costs as much as it has open steps.
function flow.spend(w) left_over = left_over - call('SCARD', flow_key(w.id, 'open:1')) end

function flow.cancel(w, ending)
  if w.state ~= 'running' then return end
  if w.ending then return flow.resume(w) end -- it was paused after that, and what is left of it shall go on
  set_flow(w, 'ending', ending)
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
stop_child = function(id)
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
    stop_map(w, tonumber(at[2]))
  elseif phase == 'child' then
    stop_child(child)
  end
  return phase == 'items' or phase == 'child'
end

-- Maps

local function map_key(w, n, part) return flow_key(w.id, 'map:' .. n .. (part and ':' .. part or '')) end

local function map_of(w, n)
  local key = map_key(w, n)
  local row = call('HMGET', key, 'total', 'begun', 'most', 'bearable', 'stopped', 'ahead')
  local gone_key = map_key(w, n, 'gone')
  local good_key, bad_key = map_key(w, n, 'good'), map_key(w, n, 'bad')
  local map = { total = tonumber(row[1]), begun = tonumber(row[2]), most = tonumber(row[3]), stopped = row[5] }
  map.good, map.bad, map.gone = call('SCARD', good_key), call('SCARD', bad_key), call('SCARD', gone_key)
  map.ahead = tonumber(row[6]) or 0
  map.ended = map.good + map.bad + map.gone - map.ahead
  map.lost = map.total and map.bad + map.gone > tonumber(row[4])
  return map
end

-- What this call knows of a map: items that have begun, whether there is work for it already.
function flow.map(w, n)
  w.maps = w.maps or {}
  w.maps[n] = w.maps[n] or {}
  return w.maps[n]
end

-- The first failures, so that the step can name them when the jobs are gone, and how many there are of each category.
function flow.note_failure(w, n, i, err)
  local key, errors_key = map_key(w, n), map_key(w, n, 'errors')
  local category = string.match(err, '"category":"([%l_]+)"') or 'unknown'
  call('HINCRBY', key, 'category:' .. category, 1)
  if call('HLEN', errors_key) >= flow.ERRORS then return end
  local traceback = string.find(err, ',"traceback":"', 1, true) -- the last of its fields, and no text has such quotes
  call('HSET', errors_key, i, traceback and string.sub(err, 1, traceback - 1) .. '}' or err)
end

function flow.item_ended(w, n, i, parent, state, result, err)
  local key = map_key(w, n)
  local map = flow.map(w, n)
  local begun = map.begun or tonumber(call('HGET', key, 'begun'))
  map.begun = begun
  if flow.job_of(w, n) ~= parent or not begun or i > begun then return end
  local ends_key = map_key(w, n, flow.ITEMS[state])
  if call('SADD', ends_key, i) == 0 then return end
  if result and call('HINCRBY', key, 'bytes', #result + 1) <= MAX_RESULT_BYTES then
    local results_key = map_key(w, n, 'results')
    call('HSET', results_key, i, result)
  end
  if err then flow.note_failure(w, n, i, err) end
  if not map.told then w.work[#w.work + 1] = { 'map', n, 1 } end
  map.told = true
  flow.touch(w)
end

stop_map = function(w, n)
  local key = map_key(w, n)
  if call('HSETNX', key, 'stopped', 1) == 1 then
    w.work[#w.work + 1] = { 'halt', n, 1 }
    w.work[#w.work + 1] = { 'map', n, 1 }
    flow.touch(w)
  end
end

-- Reads the ids of a map's items, many at a time.
function flow.ids_of_items(jobs_key)
  local ids, first, last = {}, 1, 0
  return function(i, total)
    if i > last then
      local numbers = {}
      first, last = i, math.min(i + 99, total)
      for number = first, last do
        numbers[#numbers + 1] = number
      end
      ids = call('HMGET', jobs_key, unpack(numbers))
    end
    return ids[i - first + 1]
  end
end

local work = {} -- kind -> function (workflow, step, from) that answers where to go on, or nil when it is done

-- Begins the items that may; when none is left that could, the map's job goes on: its worker gathers the results.
function work.map(w, n)
  flow.map(w, n).told = nil
  local parent = flow.job_of(w, n)
  local is = call('HMGET', job_key(parent), 'state', 'route', 'phase')
  if is[1] ~= 'blocked' or is[3] ~= 'items' then return nil end
  local map, key, jobs_key, gone_key = map_of(w, n), map_key(w, n), map_key(w, n, 'jobs'), map_key(w, n, 'gone')
  local good_key, item_of = map_key(w, n, 'good'), flow.ids_of_items(jobs_key)
  local begun, ended, ahead = map.begun, map.ended, map.ahead
  while begun < map.total and begun - ended < map.most and not (map.lost or map.stopped or w.paused) and left_over > 0 do
    begun, left_over = begun + 1, left_over - 1
    if ahead > 0 and call('SISMEMBER', good_key, begun) == 1 then
      ahead, ended = ahead - 1, ended + 1
    elseif not flow.release(item_of(begun, map.total)) and call('SADD', gone_key, begun) == 1 then
      ended = ended + 1
    end
  end
  if begun > map.begun then
    call('HSET', key, 'begun', begun, 'ahead', ahead)
    flow.map(w, n).begun = begun
    map = map_of(w, n)
    if left_over <= 0 then return 1 end
  end
  if map.ended < map.begun or (map.begun < map.total and not (map.lost or map.stopped)) then return nil end
  if map.stopped and (map.gone > 0 or map.begun < map.total) then
    cancel_waiting(parent, route_of(is[2]), 'blocked', 'cancelled')
    flow.finish(w, n, 'cancelled', nil, flow.run_of(parent))
  else
    flow.release(parent)
  end
  return nil
end

-- Cancels the items that have not ended.
function work.halt(w, n, from)
  local key, jobs_key = map_key(w, n), map_key(w, n, 'jobs')
  local count = math.max(call('HLEN', jobs_key), tonumber(call('HGET', key, 'total')) or 0)
  local item_of = flow.ids_of_items(jobs_key)
  for i = from, count do
    if left_over <= 0 then return i end
    left_over = left_over - 1
    local id = item_of(i, count)
    local job = id and call('HMGET', job_key(id), 'state', 'route', 'worker', 'parked', 'ghost', 'cancel', 'flow', 'phase', 'child')
    local waits = job and job[1] == 'blocked' and job[8] == 'child' and stop_child(job[9]) -- for the end of that
    if job and job[1] == 'running' then
      if not job[6] then ask_to_stop(job[3], id) end
    elseif job and job[1] and MOVES[job[1]].cancelled and not waits then
      cancel_waiting(id, route_of(job[2]), job[1], 'cancelled', job[4], job[5])
      flow.ended(job[7], id, 'cancelled')
    end
  end
  return nil
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
function work.hold(w, n, from)
  local key, jobs_key = map_key(w, n), map_key(w, n, 'jobs')
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
function work.free(w, n, from)
  local key, jobs_key = map_key(w, n), map_key(w, n, 'jobs')
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

-- A step of a workflow that was cut short would run again.
function work.stop(w, n)
  local step = flow.step(w, n)
  if step.group == 1 and flow.why_cut(w) and (w.ending or not step.spared) then stop_step(w, n, w.ending) end
  return nil
end

-- Tells the steps that wait for one that it has ended.
function work.tell(w, n, from)
  local dependents = flow.step(w, n).dependents
  for i = from, #dependents do
    if left_over <= 0 then return i end
    left_over = left_over - 1
    local left = call('HINCRBY', flow_key(w.id, 'left'), dependents[i], -1)
    decide(w, dependents[i], left)
  end
  return nil
end

-- Going on

local function outcome_of(w)
  if w.ending and w.lost then return w.ending == 'cancelled' and 'cancelled' or 'failed' end
  return w.broken and 'failed' or 'completed'
end

local function enter_group(w, group)
  if w.group >= group then return end
  set_flow(w, 'group', group)
  decide_all(w, group)
end

local function is_open(w, group)
  if w.alive and flow.step(w, w.alive).group == group then return true end
  return call('EXISTS', flow_key(w.id, 'open:' .. group)) == 1
end

local function leave_out(w)
  for _, n in ipairs(flow.numbers(w, 'open:2')) do
    if not flow.end_of(w, n) then skip(w, n, 'passed') end
  end
end

-- Forgotten workflows

local STEP_PARTS = { 'steps', 'texts', 'jobs', 'ends', 'inputs', 'results', 'errors', 'answers', 'left', 'held', 'old', 'open:1', 'open:2', 'open:3' }
local MAP_PARTS = { '', ':jobs', ':good', ':bad', ':gone', ':results', ':errors', ':subs' }

-- From now on nobody sees it any more. What is left of it, and with `jobs` also its jobs, is cleared away bit by bit.
function flow.bury(id, jobs)
  local gone_key = flow_key(id, 'gone')
  if call('EXISTS', flow_key(id)) == 1 then call('RENAME', flow_key(id), gone_key) end
  if jobs then call('HSET', gone_key, 'jobs_too', 1) end
  call('UNLINK', flow_key(id, 'steps')) -- no job says any more that it is one
  call('ZREM', flows_key('all'), id)
  call('ZREM', flows_key('ended'), id)
  call('ZREM', flows_key('due'), id)
  call('RPUSH', flows_key('gone'), id)
  memory.keep({ id })
  opened[id], stale = nil, true
end

-- An old job is gone for ever, record, log, runs and index.
local function erase(id)
  local job = call('HMGET', job_key(id), 'state', 'route')
  if not job[1] or MOVES[job[1]].cancelled then return end
  local route = route_of(job[2])
  local ended_key = index_key(route.queue, job[1])
  if job[1] == 'completed' then
    left_over = left_over - math.floor(call('LLEN', ended_key) / 250) -- it is searched
    call('LREM', ended_key, 1, id)
  else
    push(noted('ZREM', ended_key), id)
  end
  call('UNLINK', job_key(id), log_key(id), runs_key(id))
  announce(id, route, job[1], 'deleted')
end

-- The jobs in a HASH. Answers whether that were all.
local function erase_all(jobs_key)
  local cursor = '0'
  repeat
    local page = call('HSCAN', jobs_key, cursor, 'COUNT', 100)
    for i = 1, #page[2], 2 do
      if left_over <= 0 then return false end
      left_over = left_over - 1
      erase(page[2][i + 1])
      call('HDEL', jobs_key, page[2][i])
    end
    cursor = page[1]
  until cursor == '0'
  return true
end

-- Does it with every member of a SET, which is empty then. Answers whether it is.
local function with_each(key, act)
  while left_over > 0 do
    local member = call('SPOP', key)
    if not member then return true end
    left_over = left_over - 1
    act(member)
  end
  return false
end

-- Answers whether nothing is left of it.
local function clear_away(id)
  local gone_key = flow_key(id, 'gone')
  local head = call('HMGET', gone_key, 'maps', 'jobs_too', 'gen')
  local keys = { gone_key }
  local function bury(child) -- a sub-workflow goes with it
    if call('EXISTS', flow_key(child)) == 1 then flow.bury(child, head[2]) end
  end
  if not with_each(flow_key(id, 'children'), bury) then return false end
  for n in string.gmatch(head[1] or '', '%d+') do
    if head[2] and not erase_all(flow_key(id, 'map:' .. n .. ':jobs')) then return false end
    for _, part in ipairs(MAP_PARTS) do
      keys[#keys + 1] = flow_key(id, 'map:' .. n .. part)
    end
  end
  if head[2] and not (erase_all(flow_key(id, 'jobs')) and with_each(flow_key(id, 'old'), erase)) then return false end
  for _, part in ipairs(STEP_PARTS) do
    keys[#keys + 1] = flow_key(id, part)
  end
  for generation = math.max(1, (tonumber(head[3]) or 1) - flow.PAST), tonumber(head[3]) or 0 do
    keys[#keys + 1] = flow_key(id, 'past:' .. generation)
  end
  for first = 1, #keys, 1000 do -- at most eight for each of 1,000 steps
    call('UNLINK', unpack(keys, first, math.min(#keys, first + 999)))
  end
  return true
end

-- Clears away what is left of forgotten workflows. Answers whether there is more.
function flow.clear_away()
  local key = flows_key('gone')
  while left_over > 0 do
    local id = call('LINDEX', key, 0)
    if not id then return false end
    left_over, stale = left_over - 1, true
    if clear_away(id) then call('LPOP', key) end
  end
  return call('EXISTS', key) == 1
end

local function prune_flows()
  local key = flows_key('ended')
  local most = tonumber(call('HGET', partition_key, 'keep_completed')) or 10000
  local ids = call('ZRANGE', key, '-inf', NOW, 'BYSCORE', 'LIMIT', 0, 20 + flow.over)
  local over = math.min(20 + flow.over, call('ZCARD', key) - most)
  if #ids == 0 and over > 0 then ids = call('ZRANGE', key, 0, over - 1) end
  for _, id in ipairs(ids) do
    flow.bury(id)
  end
  if #ids > 0 then flow.clear_away() end
end

-- All workflows around one: how many within them run again by themselves. The outermost is kept while there are any.
function flow.note_alone(w, more)
  local over, top = w.within and flow.open(w.within), nil
  while over do
    over.busy = call('HINCRBY', flow_key(over.id), 'busy', more)
    over, top = over.within and flow.open(over.within), over
  end
  if not top or top.state == 'running' or top.alone then return end
  if more > 0 then
    call('ZREM', flows_key('ended'), top.id)
  elseif top.busy <= 0 then
    call('ZADD', flows_key('ended'), NOW + flow.kept_for(top.state), top.id)
  end
end

function flow.is_busy(w) return (tonumber(w.busy) or 0) > 0 end

-- For how long one that has ended is kept.
function flow.kept_for(state)
  flow.keeps = flow.keeps or call('HMGET', partition_key, 'keep_completed_ms', 'keep_dead_ms')
  return state == 'failed' and (tonumber(flow.keeps[2]) or 2592000000) or tonumber(flow.keeps[1]) or 86400000
end

-- A sub-workflow that runs again by itself is what the step of `parent`, a job of the workflow `over`, waits for.
function flow.adopt(id, parent, over)
  local w = flow.open(id)
  set_flow(w, 'parent', parent)
  w.alone = nil
  call('HDEL', flow_key(id), 'alone')
  flow.note_alone(w, -1)
  if over.paused then flow.pause(w) end
end

local function end_flow(w, state)
  w.state, flow.over = state, flow.over + 1
  call('HSET', flow_key(w.id), 'state', state, 'since', NOW)
  if w.paused then
    call('HDEL', flow_key(w.id), 'paused')
    call('DEL', flow_key(w.id, 'held'))
  end
  if not w.within and not flow.is_busy(w) then -- others are kept as long as the one that they are within
    call('ZADD', flows_key('ended'), NOW + flow.kept_for(state), w.id)
  end
  if w.alone then
    w.alone = nil
    call('HDEL', flow_key(w.id), 'alone')
    flow.note_alone(w, -1)
  end
  announce(w.id, route_of('- 1 workflow'), 'running', state)
  if w.parent then flow.release(w.parent) end
end

-- Has the handlers that are needed begin. Answers whether any has not ended.
function flow.has_handlers_left(w, outcome)
  if outcome ~= 'failed' then leave_out(w) end
  if w.ending == 'cancelled' then -- perhaps while they run
    for _, n in ipairs(flow.numbers(w, 'open:2')) do
      stop_step(w, n, true)
    end
  elseif outcome == 'failed' then
    enter_group(w, 2)
  end
  if #w.work > 0 or is_open(w, 2) then return true end
  enter_group(w, 3)
  return #w.work > 0 or is_open(w, 3)
end

local function handle(w)
  if #w.work > 0 or is_open(w, 1) then return end
  local outcome = outcome_of(w)
  if w.handlers and flow.has_handlers_left(w, outcome) then return end
  end_flow(w, (w.untidy and outcome == 'completed') and 'failed' or outcome)
end

local function carry_out(w)
  while #w.work > 0 and left_over > 0 do
    local item = table.remove(w.work)
    local from = work[item[1]](w, item[2], item[3])
    if from then w.work[#w.work + 1] = { item[1], item[2], from } end
  end
end

local function advance(w)
  for _, n in ipairs(w.begins or {}) do
    decide(w, n)
  end
  w.begins = nil
  for _, n in ipairs(w.back or {}) do
    work.stop(w, n)
  end
  w.back = nil
  repeat
    cut_short(w)
    carry_out(w)
    if #w.work == 0 then handle(w) end
  until w.state ~= 'running' or left_over <= 0 or #w.work == 0
end

-- When somebody has to look at it by himself: there is work left, or its time is up.
local function note_due(w)
  if #w.work > 0 then
    call('HSET', flow_key(w.id), 'todo', cmsgpack.pack(w.work))
  elseif w.had_work then
    call('HDEL', flow_key(w.id), 'todo')
  end
  local at = #w.work > 0 and 1 or (w.state == 'running' and w.group == 1 and not w.ending and not w.paused and w.deadline)
  if at then
    call('ZADD', flows_key('due'), at, w.id)
  elseif w.had_work or w.deadline then
    call('ZREM', flows_key('due'), w.id)
  end
  w.due_changed = at or w.had_work or w.deadline
  w.had_work = #w.work > 0
end

-- When the first workflow wants to be looked at.
local function note_first()
  local head = call('ZRANGE', flows_key('due'), 0, 0, 'WITHSCORES')
  local at = call('EXISTS', flows_key('gone')) == 1 and '1' or head[2]
  if at then
    call('HSET', partition_key, 'flows_due', at)
  else
    call('HDEL', partition_key, 'flows_due')
  end
  stored[5] = at
end

-- After all that a script does to jobs, before its commit.
function flow.go_on()
  if #changed == 0 and not stale then return end
  flush()
  local noted, i = false, 1
  while i <= #changed do -- a workflow may touch its parent or its children
    local w = changed[i]
    w.touched = false
    if w.state == 'running' then advance(w) end
    i = i + 1
  end
  local seen = {}
  for _, w in ipairs(changed) do
    if not seen[w] then
      seen[w] = true
      note_due(w)
      noted = noted or w.due_changed
    end
  end
  changed = {}
  if flow.over > 0 then prune_flows() end
  flow.over = 0
  if noted or stale then note_first() end
  flush() -- so that the claim of the same call finds what has become ready
end

-- Workflows with work left, or whose time is up. Whoever claims, settles or reaps calls this.
function flow.carry_on()
  if not stored[5] or tonumber(stored[5]) > NOW then return end
  for _, id in ipairs(call('ZRANGE', flows_key('due'), '-inf', NOW, 'BYSCORE', 'LIMIT', 0, 20)) do
    local w = flow.open(id)
    if w and w.state == 'running' then
      local late = w.deadline and tonumber(w.deadline) <= NOW and not w.ending and not w.paused
      if late and w.group == 1 and is_open(w, 1) then flow.cancel(w, 'timed_out') end
      flow.touch(w)
    else
      call('ZREM', flows_key('due'), id)
      stale = true
    end
  end
  if call('EXISTS', flows_key('gone')) == 1 then
    left_over = flow.CLEARED -- whoever asks has other things to do
    flow.clear_away()
    left_over = flow.MOST
  end
end

-- New workflows

local function bear(job, text, to, at)
  local route = route_of(job[2])
  if job[4] == '' then
    move(job[1], route, 'new', to, at, 'route', job[2], 'data', job[3], 'at', NOW, 'flow', text)
  else
    move(job[1], route, 'new', to, at, 'route', job[2], 'data', job[3], 'at', NOW, 'flow', text, 'spec', job[4])
  end
  if job[5] then call('HSET', job_key(job[1]), 'tags', job[5]) end
  made[route.queue] = (made[route.queue] or 0) + 1
end

function flow.block_job(job, text) bear(job, text, 'blocked', NOW) end

-- A workflow whose record was just written: its time begins.
local function open_anew(id)
  local ms = tonumber(call('HGET', flow_key(id), 'timeout'))
  if ms then call('HSET', flow_key(id), 'deadline', NOW + ms) end
  opened[id] = nil
  return flow.open(id)
end

function flow.write_all(verb, key, list)
  for i = 1, #list, MOST_ARGUMENTS do
    call(verb, key, unpack(list, i, math.min(#list, i + MOST_ARGUMENTS - 1)))
  end
end

-- The steps of a workflow that begins, or begins again, see flow_submit.lua.
function flow.lay(w, rows)
  local steps, texts, jobs, left, ends, open = {}, {}, {}, {}, {}, { {}, {}, {} }
  w.begins = {}
  for i, row in ipairs(rows) do
    local n, head, job = row[1], row[2], row[4]
    steps[2 * i - 1], steps[2 * i] = n, head[1]
    texts[2 * i - 1], texts[2 * i] = n, row[3]
    jobs[2 * i - 1], jobs[2 * i] = n, job[1]
    left[2 * i - 1], left[2 * i] = n, head[3]
    open[head[2]][#open[head[2]] + 1] = n
    if head[4] == 'now' and not w.paused then
      ends[#ends + 1], ends[#ends + 2] = n, 'started'
      w.ends[n], w.alive = 'started', n
      bear(job, w.id .. ' ' .. n, 'queued', 'tail')
    else
      w.ends[n] = false
      if head[2] == 1 and (head[3] == 0 or head[4] == 'early') then w.begins[#w.begins + 1] = n end
      flow.block_job(job, w.id .. ' ' .. n)
    end
  end
  flow.write_all('HSET', flow_key(w.id, 'steps'), steps)
  flow.write_all('HSET', flow_key(w.id, 'texts'), texts)
  flow.write_all('HSET', flow_key(w.id, 'jobs'), jobs)
  flow.write_all('HSET', flow_key(w.id, 'left'), left)
  flow.write_all('HSET', flow_key(w.id, 'ends'), ends)
  for group = 1, 3 do
    flow.write_all('SADD', flow_key(w.id, 'open:' .. group), open[group])
  end
end

-- [id, fields, steps]; `parent`: the job that waits for it, `over`: the workflow of that one. Nil when it is there already.
function flow.create(new, parent, over)
  local id, fields, rows = new[1], new[2], new[3]
  if call('EXISTS', flow_key(id)) == 1 then return nil end
  call('HSET', flow_key(id), 'state', 'running', 'group', 1, 'gen', 1, 'at', NOW, 'since', NOW, unpack(fields))
  if parent then
    call('HSET', flow_key(id), 'parent', parent, 'within', over.id)
    if over.paused then call('HSET', flow_key(id), 'paused', NOW) end
    call('SADD', flow_key(over.id, 'children'), id)
  end
  call('ZADD', flows_key('all'), NOW, id)
  local w = open_anew(id)
  flow.lay(w, rows)
  for _, row in ipairs(rows) do
    if row[2][2] > 1 then w.handlers = 1 end
  end
  if w.handlers then call('HSET', flow_key(id), 'handlers', 1) end
  flow.touch(w)
  announce(id, route_of('- 1 workflow'), 'new', 'running')
  return w
end

-- Whether a map or a sub-workflow may make so many more jobs: otherwise maps of workflows with maps would have no bound.
function flow.may_spread(w, more)
  local over = not w.alone and w.within and flow.open(w.within)
  while over do
    w, over = over, not over.alone and over.within and flow.open(over.within)
  end
  return call('HINCRBY', flow_key(w.id), 'spread', more) <= MAX_SPREAD
end

-- Pause and resume

-- What waits in a queue is taken out of it; what runs, or waits for its next attempt, goes on.
function flow.pause(w)
  if w.paused then return end
  flush()
  set_flow(w, 'paused', NOW)
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
  if w.deadline then set_flow(w, 'deadline', tonumber(w.deadline) + NOW - tonumber(w.paused)) end
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

-- Again

local MOST_OLD = 20000 -- jobs, and sub-workflows, of earlier runs that are kept for as long as the workflow

-- Sub-workflows of a workflow that has ended, when there are too many: they have a time of their own from now on.
local function let_go(id)
  local children_key = flow_key(id, 'children')
  local keep = tonumber(call('HGET', partition_key, 'keep_completed_ms')) or 86400000
  for _, child in ipairs(call('SPOP', children_key, math.max(0, call('SCARD', children_key) - MOST_OLD))) do
    local w = flow.open(child)
    if w and w.alone then flow.note_alone(w, -1) end
    call('HDEL', flow_key(child), 'within', 'alone')
    if w and w.state ~= 'running' then call('ZADD', flows_key('ended'), NOW + keep, child) end
    opened[child] = nil
  end
end

local function forget_map(w, n)
  for _, part in ipairs(MAP_PARTS) do
    call('UNLINK', flow_key(w.id, 'map:' .. n .. part))
  end
end

-- The sub-workflows of a map's items that did not complete: they go on where they failed.
local function note_subs(w, n, total)
  local item_of, good_key, subs_key = flow.ids_of_items(map_key(w, n, 'jobs')), map_key(w, n, 'good'), map_key(w, n, 'subs')
  call('UNLINK', subs_key)
  for i = 1, total do
    local id = item_of(i, total)
    local child = id and call('SISMEMBER', good_key, i) == 0 and call('HGET', job_key(id), 'child')
    if child then call('HSET', subs_key, i, child) end
  end
end

-- The items of a map that completed stay, when there are others. Answers whether there are any.
local function keep_good(w, n, goes_on)
  local key, jobs_key = map_key(w, n), map_key(w, n, 'jobs')
  local good = flow.numbers(w, 'map:' .. n .. ':good')
  local total = tonumber(call('HGET', key, 'total'))
  if total and goes_on then note_subs(w, n, total) end
  if not total or (#good == 0 and not goes_on) or #good == total then return false end
  local kept = {}
  for first = 1, #good, 1000 do
    local last = math.min(#good, first + 999)
    local ids = call('HMGET', jobs_key, unpack(good, first, last))
    for i = 1, #ids do
      kept[#kept + 1] = good[first + i - 1]
      kept[#kept + 1] = ids[i]
    end
  end
  call('UNLINK', jobs_key, map_key(w, n, 'bad'), map_key(w, n, 'gone'), map_key(w, n, 'errors'))
  for first = 1, #kept, 2000 do
    call('HSET', jobs_key, unpack(kept, first, math.min(#kept, first + 1999)))
  end
  call('HSET', key, 'begun', 0, 'ahead', #good)
  call('HDEL', key, 'stopped')
  for _, field in ipairs(call('HKEYS', key)) do
    if string.find(field, '^category:') then call('HDEL', key, field) end
  end
  return true
end

-- The jobs of an earlier run, so that they go when the workflow does; what is too much goes by itself.
local function note_old(w, n, own, is_map)
  local jobs_key, old_key = map_key(w, n, 'jobs'), flow_key(w.id, 'old')
  w.old = w.old or call('SCARD', old_key)
  if w.old > MOST_OLD then return end
  local ids = is_map and call('HVALS', jobs_key) or {}
  ids[#ids + 1] = own
  w.old = w.old + #ids
  flow.write_all('SADD', old_key, ids)
end

-- `map`: 0 it is none, 1 all items begin anew, 2 those that completed stay, 3 it is a sub-workflow that goes on, 4 a map of
-- such. Answers the sub-workflow that goes on.
local function forget_step(w, n, map)
  local old, is_map = call('HGET', flow_key(w.id, 'jobs'), n), map == 1 or map == 2 or map == 4
  local ends = map == 3 and call('HGET', flow_key(w.id, 'ends'), n) or ''
  local child = map == 3 and (call('HGET', job_key(old), 'child') or string.match(ends, '^%a+ %a+ %d+ %d+ %d+ %d+ (%w+)'))
  note_old(w, n, old, is_map)
  if is_map and not ((map == 2 or map == 4) and keep_good(w, n, map == 4)) then forget_map(w, n) end
  return child
end

-- Marks of the steps that stay as they are: whether one of them failed, or was cancelled.
local function marks_of(w)
  for n, text in pairs(w.kept) do
    local step = flow.step(w, n)
    local state, standing = string.match(text, '^(%a+) (%a+)')
    if step.group == 1 and (standing == 'bad' or (state == 'cancelled' and not step.allowed)) then set_flow(w, 'broken', 1) end
    if step.group == 1 and state == 'cancelled' then set_flow(w, 'lost', 1) end
  end
end

-- How a workflow stands whose run is over: itself, and those steps of which anything changes with the next run.
local function keep_past(id, rows, others)
  local generation, budget = tonumber(call('HGET', flow_key(id), 'gen')), { left = flow.PAST_BYTES }
  local past_key, oldest_key = flow_key(id, 'past:' .. generation), flow_key(id, 'past:' .. generation - flow.PAST)
  local head, flat = {}, call('HGETALL', flow_key(id))
  for i = 1, #flat, 2 do
    if flat[i] ~= 'todo' and flat[i] ~= 'form' then
      head[#head + 1] = flat[i]
      head[#head + 1] = flat[i + 1]
    end
  end
  call('UNLINK', oldest_key)
  local record, texts, past = flow_record(id), pairs_of(flow_key(id, 'texts')), { 'head', cmsgpack.pack(head) }
  for _, list in ipairs({ rows, others }) do
    for _, row in ipairs(list) do
      local n = string.format('%d', row[1])
      local kept, data = flow_step_row(id, n, texts[n], budget, record), flow_data_row(id, n, budget, record)
      kept[10], kept[11], kept[12] = data[2], data[3], data[4]
      past[#past + 1] = n
      past[#past + 1] = cmsgpack.pack(kept)
    end
  end
  flow.write_all('HSET', past_key, past)
end

-- `rows`: of the steps that begin anew, `others`: of those that stay, see flow_rerun.lua. A sub-workflow stays one: it
-- runs again by itself, or for the step of `parent`, a job of the workflow `over`.
function flow.again_from_start(id, rows, fields, others, parent, over)
  keep_past(id, rows, others)
  let_go(id)
  call('HDEL', flow_key(id), 'ending', 'broken', 'lost', 'untidy', 'cut', 'paused', 'deadline', 'todo', 'spread')
  call('HSET', flow_key(id), 'state', 'running', 'group', 1, 'since', NOW)
  if parent then
    call('HSET', flow_key(id), 'parent', parent)
    if over.paused then call('HSET', flow_key(id), 'paused', NOW) end
  elseif call('HEXISTS', flow_key(id), 'within') == 1 then
    call('HSET', flow_key(id), 'alone', 1)
  end
  if #fields > 0 then call('HSET', flow_key(id), unpack(fields)) end
  call('ZREM', flows_key('ended'), id)
  local w, goes_on = open_anew(id), {}
  if w.alone then flow.note_alone(w, 1) end
  local names = {}
  for _, row in ipairs(rows) do
    goes_on[row[4][1]] = forget_step(w, row[1], row[5]) or nil
    names[#names + 1] = row[1]
    names[#names + 1] = row[1] .. ':meaning'
  end
  for _, part in ipairs({ 'ends', 'inputs', 'results', 'errors', 'answers' }) do
    flow.write_all('HDEL', flow_key(id, part), names)
  end
  for _, row in ipairs(others) do
    call('HSET', flow_key(id, 'steps'), row[1], row[2])
    call('HSET', flow_key(id, 'texts'), row[1], row[3])
  end
  flow.lay(w, rows)
  for job, child in pairs(goes_on) do
    call('HSET', job_key(job), 'goes_on', child, 'child', child)
  end
  w.kept = {}
  local ends = call('HGETALL', flow_key(id, 'ends'))
  for i = 1, #ends, 2 do
    w.kept[tonumber(ends[i])] = ends[i + 1]
  end
  marks_of(w)
  flow.touch(w)
  announce(id, route_of('- 1 workflow'), 'new', 'running')
  return call('HINCRBY', flow_key(id), 'gen', 1)
end

end
