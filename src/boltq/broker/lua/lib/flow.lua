--@use cancels, births, prune
-- Workflows: what follows when a step ends. Every step is one job; the others wait as `blocked`. Steps go by numbers,
-- in an order in which they can run. A job of a workflow has the field `flow`: "workflow step", and for an item of a
-- map "workflow step item map's-job".
--
-- The workflow's hash: state, group (1 steps, 2 on_failure, 3 finally), policy, ending, broken: a step failed, lost: a
-- step was cancelled, untidy: a step of `finally` failed, paused, deadline, parent: the job that waits for it, maps, todo.
-- steps  number -> msgpack of [id, group, parents, awaits, dependents, rule, at least, allow failure, spared, kind]
-- ends   number -> 'started', or 'state standing when'. Nothing: pending
-- left:<number>  the steps that it still waits for: a step that ends leaves these sets, and decides what waits no more
local flow = { EARLY = { one_success = true, one_failed = true, at_least = true }, MOST = 2000, KEPT = 200 }
local opened, changed, left_over -- workflows of this call by id; those in which something happened; steps that may follow

local function begin_flow() opened, changed, left_over = {}, {}, flow.MOST end

do -- the library may have 200 names of its own, and these need not be among them

flow.HOLDS = {
  all_success = function(n) return n.bad + n.lost + n.passed == 0 end,
  none_failed = function(n) return n.bad + n.lost == 0 end,
  one_success = function(n) return n.good > 0 end,
  one_failed = function(n) return n.bad + n.tolerated > 0 end,
  at_least = function(n, step) return n.good >= step.at_least end,
  all_done = function() return true end,
}

function flow.open(id)
  local w = opened[id]
  if w ~= nil then return w end
  local head = call('HMGET', flow_key(id), 'state', 'group', 'policy', 'ending', 'broken', 'lost', 'untidy', 'paused', 'deadline', 'parent', 'todo')
  w = head[1] and {
    id = id, state = head[1], group = tonumber(head[2]), fail_fast = head[3] == 'fail_fast', ending = head[4] or nil,
    broken = head[5], lost = head[6], untidy = head[7], paused = head[8], deadline = tonumber(head[9]), parent = head[10],
    work = head[11] and cmsgpack.unpack(head[11]) or {}, had_work = head[11], steps = {},
  }
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

function flow.step(w, n)
  local step = w.steps[n]
  if not step then
    local row = cmsgpack.unpack(call('HGET', flow_key(w.id, 'steps'), n))
    step = {
      id = row[1], group = row[2], parents = row[3], awaits = row[4], dependents = row[5], rule = row[6],
      at_least = row[7], allowed = row[8] == 1, spared = row[9] == 1, kind = row[10],
    }
    w.steps[n] = step
  end
  return step
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
  if state == 'succeeded' then return 'good' end
  if step.allowed then return 'tolerated' end
  return state == 'failed' and 'bad' or 'lost'
end

function flow.finish(w, n, state, standing)
  local step = flow.step(w, n)
  call('HSET', flow_key(w.id, 'ends'), n, state .. ' ' .. (standing or flow.standing(step, state)) .. ' ' .. NOW)
  call('SREM', flow_key(w.id, 'open:' .. step.group), n)
  local fails = (state == 'failed' or state == 'cancelled') and not step.allowed
  if step.group == 1 and fails and not w.broken then set_flow(w, 'broken', 1) end
  if step.group == 1 and state == 'cancelled' and not w.lost then set_flow(w, 'lost', 1) end
  if step.group == 3 and fails and not w.untidy then set_flow(w, 'untidy', 1) end
  w.work[#w.work + 1] = { 'tell', n, 1 }
  if step.kind == 'map' and state ~= 'succeeded' then w.work[#w.work + 1] = { 'halt', n, 1 } end
  flow.touch(w)
end

-- A job of a workflow has ended. Only the step's present job counts, and only once.
function flow.ended(text, id, state, result, err)
  local at = words(text)
  local w, n = flow.open(at[1]), tonumber(at[2])
  if not w or w.state ~= 'running' then return end
  if at[3] then return flow.item_ended(w, n, tonumber(at[3]), at[4], state, result) end
  local is = call('HGET', flow_key(w.id, 'ends'), n)
  if call('HGET', flow_key(w.id, 'jobs'), n) ~= id or (is and is ~= 'started') then return end
  if result then call('HSET', flow_key(w.id, 'results'), n, result) end
  if err then call('HSET', flow_key(w.id, 'errors'), n, err) end
  flow.finish(w, n, ({ completed = 'succeeded', dead = 'failed', cancelled = 'cancelled' })[state])
end

-- A job of a workflow is going to run again: not when its workflow is being stopped.
function flow.again(text)
  local w = flow.open(string.match(text, '^%S+'))
  if w and w.state == 'running' and (w.ending or (w.broken and w.fail_fast)) then flow.touch(w) end
end

-- Beginnings

function flow.release(id)
  local job = call('HMGET', job_key(id), 'state', 'route')
  if job[1] ~= 'blocked' then return false end
  move(id, route_of(job[2]), 'blocked', 'queued', 'tail')
  return true
end

local function start(w, n)
  call('HSET', flow_key(w.id, 'ends'), n, 'started')
  if w.paused then
    call('SADD', flow_key(w.id, 'held'), n)
  else
    flow.release(call('HGET', flow_key(w.id, 'jobs'), n))
  end
end

local function drop_job(w, n, reason)
  local id = call('HGET', flow_key(w.id, 'jobs'), n)
  local job = call('HMGET', job_key(id), 'state', 'route')
  if job[1] == 'blocked' then cancel_waiting(id, route_of(job[2]), 'blocked', reason) end
end

local function skip(w, n, standing)
  drop_job(w, n, 'skipped')
  flow.finish(w, n, 'skipped', standing)
end

local function counts_of(w, numbers)
  local counts = { open = 0, good = 0, tolerated = 0, bad = 0, lost = 0, passed = 0 }
  local ends = #numbers > 0 and call('HMGET', flow_key(w.id, 'ends'), unpack(numbers)) or {}
  for i = 1, #numbers do
    local standing = ends[i] and string.match(ends[i], ' (%a+) ') or 'open'
    counts[standing] = counts[standing] + 1
  end
  return counts
end

-- A pending step: whether it runs, is skipped, or waits on.
local function decide(w, n)
  local step = flow.step(w, n)
  local waits = call('EXISTS', flow_key(w.id, 'left:' .. n)) == 1
  if waits and (not flow.EARLY[step.rule] or counts_of(w, step.awaits).open > 0) then return end
  local counts = counts_of(w, step.parents)
  if flow.HOLDS[step.rule](counts, step) then
    start(w, n)
  elseif not waits then
    skip(w, n, counts.bad + counts.lost > 0 and 'lost' or 'passed')
  end
end

local function decide_all(w, group)
  for _, n in ipairs(flow.numbers(w, 'open:' .. group)) do
    if not call('HGET', flow_key(w.id, 'ends'), n) then decide(w, n) end
  end
end

-- Stopping

local stop_map, stop_child

-- `hard`: what runs shall stop too.
local function stop_step(w, n, hard)
  local step, is = flow.step(w, n), call('HGET', flow_key(w.id, 'ends'), n)
  if is and is ~= 'started' then return end
  local id = call('HGET', flow_key(w.id, 'jobs'), n)
  local job = call('HMGET', job_key(id), 'state', 'route', 'worker', 'parked', 'ghost', 'phase', 'cancel', 'child')
  if job[1] == 'running' then
    if not job[7] and (hard or step.kind == 'map' or step.kind == 'child') then ask_to_stop(job[3], id) end
  elseif job[1] == 'blocked' and job[6] == 'items' then
    stop_map(w, n)
  elseif job[1] == 'blocked' and job[6] == 'child' then
    stop_child(job[8])
  elseif job[1] and MOVES[job[1]].cancelled then
    cancel_waiting(id, route_of(job[2]), job[1], 'cancelled', job[4], job[5])
    flow.finish(w, n, 'cancelled')
  end
end

local function cut_short(w)
  if w.group > 1 or not (w.ending or (w.broken and w.fail_fast)) then return end
  for _, n in ipairs(flow.numbers(w, 'open:1')) do
    if w.ending or not flow.step(w, n).spared then stop_step(w, n, w.ending) end
  end
end

function flow.cancel(w, ending)
  if w.state ~= 'running' or w.ending then return end
  set_flow(w, 'ending', ending)
  flow.touch(w)
  if not w.paused then return end
  w.paused = nil
  call('HDEL', flow_key(w.id), 'paused')
  for _, n in ipairs(flow.numbers(w, 'held')) do -- what waits for no queue is cancelled with all others
    local id = call('HGET', flow_key(w.id, 'jobs'), n)
    local phase = call('HGET', job_key(id), 'phase')
    if phase == 'items' or phase == 'child' then flow.release(id) end
  end
  call('DEL', flow_key(w.id, 'held'))
end

stop_child = function(id)
  local w = flow.open(id)
  if w then flow.cancel(w, 'cancelled') end
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
  local row = call('HMGET', key, 'total', 'begun', 'most', 'bearable', 'stopped')
  local gone_key = map_key(w, n, 'gone')
  local good_key, bad_key = map_key(w, n, 'good'), map_key(w, n, 'bad')
  local map = { total = tonumber(row[1]), begun = tonumber(row[2]), most = tonumber(row[3]), stopped = row[5] }
  map.good, map.bad, map.gone = call('SCARD', good_key), call('SCARD', bad_key), call('SCARD', gone_key)
  map.ended = map.good + map.bad + map.gone
  map.lost = map.total and map.bad + map.gone > tonumber(row[4])
  return map
end

function flow.item_ended(w, n, i, parent, state, result)
  local key = map_key(w, n)
  local begun = tonumber(call('HGET', key, 'begun'))
  if call('HGET', flow_key(w.id, 'jobs'), n) ~= parent or not begun or i > begun then return end
  local part = ({ completed = 'good', dead = 'bad', cancelled = 'gone' })[state]
  local ends_key = map_key(w, n, part)
  if call('SADD', ends_key, i) == 0 then return end
  if result and call('HINCRBY', key, 'bytes', #result + 1) <= MAX_RESULT_BYTES then
    local results_key = map_key(w, n, 'results')
    call('HSET', results_key, i, result)
  end
  w.work[#w.work + 1] = { 'map', n, 1 }
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

local work = {} -- kind -> function (workflow, step, from) that answers where to go on, or nil when it is done

-- Begins the items that may; when none is left that could, the map's job goes on: its worker gathers the results.
function work.map(w, n)
  local parent = call('HGET', flow_key(w.id, 'jobs'), n)
  local is = call('HMGET', job_key(parent), 'state', 'route', 'phase')
  if is[1] ~= 'blocked' or is[3] ~= 'items' then return nil end
  local map, key, jobs_key, gone_key = map_of(w, n), map_key(w, n), map_key(w, n, 'jobs'), map_key(w, n, 'gone')
  local begun, ended = map.begun, map.ended
  while begun < map.total and begun - ended < map.most and not (map.lost or map.stopped or w.paused) and left_over > 0 do
    begun, left_over = begun + 1, left_over - 1
    if not flow.release(call('HGET', jobs_key, begun)) and call('SADD', gone_key, begun) == 1 then ended = ended + 1 end
  end
  if begun > map.begun then
    call('HSET', key, 'begun', begun)
    map = map_of(w, n)
    if left_over <= 0 then return 1 end
  end
  if map.ended < map.begun or (map.begun < map.total and not (map.lost or map.stopped)) then return nil end
  if map.stopped and (map.gone > 0 or map.begun < map.total) then
    cancel_waiting(parent, route_of(is[2]), 'blocked', 'cancelled')
    flow.finish(w, n, 'cancelled')
  else
    flow.release(parent)
  end
  return nil
end

-- Cancels the items that have not ended.
function work.halt(w, n, from)
  local key, jobs_key = map_key(w, n), map_key(w, n, 'jobs')
  local count = call('HLEN', jobs_key)
  local map = call('HMGET', key, 'total', 'begun')
  count = math.max(count, tonumber(map[1]) or 0)
  for i = from, count do
    if left_over <= 0 then return i end
    left_over = left_over - 1
    local id = call('HGET', jobs_key, i)
    local job = id and call('HMGET', job_key(id), 'state', 'route', 'worker', 'parked', 'ghost', 'cancel', 'flow', 'phase', 'child')
    if job and job[1] == 'running' then
      if not job[6] then ask_to_stop(job[3], id) end
    elseif job and job[1] == 'blocked' and job[8] == 'child' then
      stop_child(job[9])
    elseif job and job[1] and MOVES[job[1]].cancelled then
      cancel_waiting(id, route_of(job[2]), job[1], 'cancelled', job[4], job[5])
      flow.ended(job[7], id, 'cancelled')
    end
  end
  return nil
end

-- Tells the steps that wait for one that it has ended.
function work.tell(w, n, from)
  local dependents = flow.step(w, n).dependents
  for i = from, #dependents do
    if left_over <= 0 then return i end
    left_over = left_over - 1
    local other = dependents[i]
    call('SREM', flow_key(w.id, 'left:' .. other), n)
    if not call('HGET', flow_key(w.id, 'ends'), other) then decide(w, other) end
  end
  return nil
end

-- Going on

local function outcome_of(w)
  if w.ending and w.lost then return w.ending == 'cancelled' and 'cancelled' or 'failed' end
  return w.broken and 'failed' or 'succeeded'
end

local function enter_group(w, group)
  if w.group >= group then return end
  set_flow(w, 'group', group)
  decide_all(w, group)
end

local function is_open(w, group) return call('EXISTS', flow_key(w.id, 'open:' .. group)) == 1 end

local function leave_out(w)
  for _, n in ipairs(flow.numbers(w, 'open:2')) do
    if not call('HGET', flow_key(w.id, 'ends'), n) then skip(w, n, 'passed') end
  end
end

local function prune_flows()
  local key = flows_key('ended')
  local most = tonumber(call('HGET', partition_key, 'keep_completed')) or 10000
  local ids = call('ZRANGE', key, '-inf', NOW, 'BYSCORE', 'LIMIT', 0, 20)
  local over = math.min(20, call('ZCARD', key) - most)
  if #ids == 0 and over > 0 then ids = call('ZRANGE', key, 0, over - 1) end
  for _, id in ipairs(ids) do
    local keys = { flow_key(id) }
    for _, part in ipairs({ 'steps', 'texts', 'jobs', 'ends', 'results', 'errors', 'answers', 'held' }) do
      keys[#keys + 1] = flow_key(id, part)
    end
    for n in string.gmatch(call('HGET', flow_key(id), 'maps') or '', '%d+') do
      for _, part in ipairs({ '', ':jobs', ':good', ':bad', ':gone', ':results' }) do
        keys[#keys + 1] = flow_key(id, 'map:' .. n .. part)
      end
    end
    call('UNLINK', unpack(keys))
    call('ZREM', key, id)
    call('ZREM', flows_key('all'), id)
  end
end

local function end_flow(w, state)
  set_flow(w, 'state', state)
  call('HSET', flow_key(w.id), 'since', NOW)
  local keep = call('HMGET', partition_key, 'keep_completed_ms', 'keep_dead_ms')
  local ms = state == 'failed' and (tonumber(keep[2]) or 2592000000) or tonumber(keep[1]) or 86400000
  call('ZADD', flows_key('ended'), NOW + ms, w.id)
  announce(w.id, route_of('- 1 workflow'), 'running', state)
  if w.parent then flow.release(w.parent) end
  prune_flows()
end

local function handle(w)
  if #w.work > 0 or is_open(w, 1) then return end
  local outcome = outcome_of(w)
  if outcome ~= 'failed' then
    leave_out(w)
  elseif w.ending == 'cancelled' then
    for _, n in ipairs(flow.numbers(w, 'open:2')) do
      stop_step(w, n, true)
    end
  else
    enter_group(w, 2)
  end
  if #w.work > 0 or is_open(w, 2) then return end
  enter_group(w, 3)
  if #w.work > 0 or is_open(w, 3) then return end
  end_flow(w, (w.untidy and outcome == 'succeeded') and 'failed' or outcome)
end

local function carry_out(w)
  while #w.work > 0 and left_over > 0 do
    local item = table.remove(w.work)
    local from = work[item[1]](w, item[2], item[3])
    if from then w.work[#w.work + 1] = { item[1], item[2], from } end
  end
end

local function advance(w)
  if w.begins then
    w.begins = nil
    decide_all(w, 1)
  end
  repeat
    local before = #w.work
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
  local at = #w.work > 0 and 1 or (w.state == 'running' and w.group == 1 and not w.ending and w.deadline)
  if at then
    call('ZADD', flows_key('due'), at, w.id)
  elseif w.had_work or w.deadline then
    call('ZREM', flows_key('due'), w.id)
  end
  w.due_changed = at or w.had_work or w.deadline
  w.had_work = #w.work > 0
end

-- After all that a script does to jobs, before its commit.
function flow.go_on()
  if #changed == 0 then return end
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
  if noted then
    local head = call('ZRANGE', flows_key('due'), 0, 0, 'WITHSCORES')
    if head[2] then
      call('HSET', partition_key, 'flows_due', head[2])
    else
      call('HDEL', partition_key, 'flows_due')
    end
    stored[5] = head[2]
  end
end

-- Workflows with work left, or whose time is up. Whoever claims, settles or reaps calls this.
function flow.carry_on()
  if not stored[5] or tonumber(stored[5]) > NOW then return end
  for _, id in ipairs(call('ZRANGE', flows_key('due'), '-inf', NOW, 'BYSCORE', 'LIMIT', 0, 20)) do
    local w = flow.open(id)
    if w and w.state == 'running' then
      if w.deadline and w.deadline <= NOW and w.group == 1 and is_open(w, 1) then flow.cancel(w, 'timed_out') end
      flow.touch(w)
    else
      call('ZREM', flows_key('due'), id)
    end
  end
end

-- New workflows

local function block_job(job, text)
  move(job[1], route_of(job[2]), 'new', 'blocked', NOW, 'route', job[2], 'data', job[3], 'at', NOW, 'flow', text)
  if job[4] ~= '' then call('HSET', job_key(job[1]), 'spec', job[4]) end
  local queue = route_of(job[2]).queue
  made[queue] = (made[queue] or 0) + 1
end
flow.block_job = block_job

-- What a step waits for, each once: of the steps that begin with it, where not all do.
local function waits_of(row, beginning)
  local waits, seen = {}, {}
  for _, list in ipairs({ row[2][3], row[2][4] }) do
    for _, other in ipairs(list) do
      if not seen[other] and (not beginning or beginning[other]) then waits[#waits + 1] = other end
      seen[other] = true
    end
  end
  return waits
end

-- A workflow whose record was just written: its time begins.
local function open_anew(id)
  local ms = tonumber(call('HGET', flow_key(id), 'timeout'))
  if ms then call('HSET', flow_key(id), 'deadline', NOW + ms) end
  opened[id] = nil
  return flow.open(id)
end

-- One step of a workflow that begins, or begins again: [number, info, text, job]. `waits`: numbers of open steps.
function flow.lay(w, row, waits)
  local n, info, text, job = row[1], row[2], row[3], row[4]
  call('HSET', flow_key(w.id, 'steps'), n, cmsgpack.pack(info))
  call('HSET', flow_key(w.id, 'texts'), n, text)
  call('HSET', flow_key(w.id, 'jobs'), n, job[1])
  call('SADD', flow_key(w.id, 'open:' .. flow.step(w, n).group), n)
  if #waits > 0 then call('SADD', flow_key(w.id, 'left:' .. n), unpack(waits)) end
  block_job(job, w.id .. ' ' .. n)
end

-- [id, fields, steps]; `parent`: the job that waits for it. Answers its state, or nil when it is there already.
function flow.create(new, parent)
  local id, fields, rows = new[1], new[2], new[3]
  if call('EXISTS', flow_key(id)) == 1 then return nil end
  call('HSET', flow_key(id), 'state', 'running', 'group', 1, 'gen', 1, 'at', NOW, 'since', NOW, unpack(fields))
  if parent then call('HSET', flow_key(id), 'parent', parent) end
  call('ZADD', flows_key('all'), NOW, id)
  local w = open_anew(id)
  for _, row in ipairs(rows) do
    flow.lay(w, row, waits_of(row))
  end
  w.begins = true
  flow.touch(w)
  announce(id, route_of('- 1 workflow'), 'new', 'running')
  return w
end

-- Pause and resume

-- What waits in a queue is taken out of it; what runs, or waits for its next attempt, goes on.
function flow.pause(w)
  if w.paused then return end
  set_flow(w, 'paused', 1)
  for group = 1, 3 do
    for _, n in ipairs(flow.numbers(w, 'open:' .. group)) do
      local id = call('HGET', flow_key(w.id, 'jobs'), n)
      local job = call('HMGET', job_key(id), 'state', 'route', 'parked', 'ghost', 'phase', 'child')
      if job[1] == 'queued' then
        local route = route_of(job[2])
        set_ghosts(id, withdraw(id, route, job[3], job[4]))
        call('HDEL', job_key(id), 'parked')
        move(id, route, 'queued', 'blocked', NOW)
        call('SADD', flow_key(w.id, 'held'), n)
      elseif job[1] == 'blocked' and job[5] == 'child' then
        local child = flow.open(job[6])
        if child and child.state == 'running' then flow.pause(child) end
      end
    end
  end
end

function flow.resume(w)
  if not w.paused then return end
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
        flow.touch(w)
      elseif job[1] == 'blocked' and job[2] == 'child' then
        local child = flow.open(job[3])
        if child and child.state == 'running' then flow.resume(child) end
      end
    end
  end
end

-- Again

local function forget_step(w, n)
  for _, part in ipairs({ 'ends', 'results', 'errors', 'answers' }) do
    call('HDEL', flow_key(w.id, part), n, n .. ':decision')
  end
  for _, part in ipairs({ '', ':jobs', ':good', ':bad', ':gone', ':results' }) do
    call('UNLINK', flow_key(w.id, 'map:' .. n .. part))
  end
  call('DEL', flow_key(w.id, 'left:' .. n))
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

function flow.again_from_start(id, rows, fields)
  call('HDEL', flow_key(id), 'ending', 'broken', 'lost', 'untidy', 'paused', 'deadline', 'parent', 'todo')
  call('HSET', flow_key(id), 'state', 'running', 'group', 1, 'since', NOW)
  if #fields > 0 then call('HSET', flow_key(id), unpack(fields)) end
  call('ZREM', flows_key('ended'), id)
  local w = open_anew(id)
  local chosen = {}
  for _, row in ipairs(rows) do
    chosen[row[1]] = true
    forget_step(w, row[1])
  end
  for _, row in ipairs(rows) do
    flow.lay(w, row, waits_of(row, chosen))
  end
  w.kept = {}
  local ends = call('HGETALL', flow_key(id, 'ends'))
  for i = 1, #ends, 2 do
    w.kept[tonumber(ends[i])] = ends[i + 1]
  end
  marks_of(w)
  w.begins = true
  flow.touch(w)
  announce(id, route_of('- 1 workflow'), 'new', 'running')
  return call('HINCRBY', flow_key(id), 'gen', 1)
end

end
