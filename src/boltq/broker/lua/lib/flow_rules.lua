--@use flow, cancels
-- Decides whether a step begins, is skipped, or waits on; and lets it begin.

flow.EARLY = { one_success = true, one_failed = true, one_done = true, at_least = true }

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

function flow.release(id)
  local state, route, left, fixed, phase = unpack(call('HMGET', job_key(id), 'state', 'route', 'left', 'fixed', 'phase'))
  if state ~= 'blocked' then return false end
  local due = left and (tonumber(left) + (fixed and 0 or NOW))
  if due then call('HDEL', job_key(id), 'left') end
  if due and due > NOW then
    local put_off = PHASES[phase].put_off
    if put_off then put_off(id, due) end
    move(id, route_of(route), 'blocked', 'scheduled', due)
  else
    move(id, route_of(route), 'blocked', 'queued', 'tail')
  end
  return true
end

-- Notes in a job that is held how long it still has to wait until `due`, or if that moment is fixed, the moment.
function flow.stop_time(id, due, fixed)
  call('HSET', job_key(id), 'left', fixed and due or math.max(0, due - NOW))
end

local function start(w, n)
  flow.set_end(w, n, 'started')
  w.alive = n -- a step that has not ended
  if w.paused then
    call('SADD', flow_key(w.id, 'held'), n)
  else
    flow.release(flow.job_of(w, n))
  end
end

local function drop_job(w, n, reason)
  local id = flow.job_of(w, n)
  local state, route = unpack(call('HMGET', job_key(id), 'state', 'route'))
  if state == 'blocked' then cancel_waiting(id, route_of(route), 'blocked', reason) end
end

function flow.skip(w, n, standing)
  drop_job(w, n, 'skipped')
  flow.finish(w, n, 'skipped', standing)
end

flow.counts = {}

local function counts_of(w, numbers)
  local counts = flow.counts -- the next count overwrites it
  counts.open, counts.good, counts.tolerated, counts.bad, counts.lost, counts.passed = 0, 0, 0, 0, 0, 0
  flow.read_ends(w, numbers)
  for i = 1, #numbers do
    local text = w.ends[numbers[i]]
    local standing = text and string.match(text, ' (%a+) ') or 'open'
    counts[standing] = counts[standing] + 1
  end
  return counts
end

-- Lets a step begin, or skips it, if its rule says so by now. Does nothing if it has begun already.
function flow.decide(w, n, left)
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
    flow.skip(w, n, counts.bad + counts.lost > 0 and 'lost' or 'passed')
  end
end

function flow.decide_all(w, group)
  for _, n in ipairs(flow.numbers(w, 'open:' .. group)) do
    flow.decide(w, n)
  end
end

-- A step has ended: counts that down in each step that waits for it, and decides about those.
function flow.work.tell(w, n, from)
  local dependents = flow.step(w, n).dependents
  for i = from, #dependents do
    if left_over <= 0 then return i end
    left_over = left_over - 1
    local left = call('HINCRBY', flow_key(w.id, 'left'), dependents[i], -1)
    flow.decide(w, dependents[i], left)
  end
  return nil
end
