--@use flow, flow_rules, flow_stop, flow_forget
-- The groups of a workflow run one after another: steps, on_failure, finally. Then the workflow ends.

local function outcome_of(w)
  if w.ending and w.lost then return w.ending == 'cancelled' and 'cancelled' or 'failed' end
  return w.broken and 'failed' or 'completed'
end

local function enter_group(w, group)
  if w.group >= group then return end
  flow.set(w, 'group', group)
  flow.decide_all(w, group)
end

function flow.is_open(w, group)
  if w.alive and flow.step(w, w.alive).group == group then return true end
  return call('EXISTS', flow_key(w.id, 'open:' .. group)) == 1
end

local function leave_out(w)
  for _, n in ipairs(flow.numbers(w, 'open:2')) do
    if not flow.end_of(w, n) then flow.skip(w, n, 'passed') end
  end
end

-- Lets the handlers begin that the outcome asks for. Returns true while one of them has not ended.
function flow.has_handlers_left(w, outcome)
  if outcome ~= 'failed' then leave_out(w) end
  if w.ending == 'cancelled' then -- the handlers may be running
    for _, n in ipairs(flow.numbers(w, 'open:2')) do
      flow.stop_step(w, n, true)
    end
  elseif outcome == 'failed' then
    enter_group(w, 2)
  end
  if #w.work > 0 or flow.is_open(w, 2) then return true end
  enter_group(w, 3)
  return #w.work > 0 or flow.is_open(w, 3)
end

local function end_flow(w, state)
  w.state, flow.over = state, flow.over + 1
  call('HSET', flow_key(w.id), 'state', state, 'since', NOW)
  if w.paused then
    call('HDEL', flow_key(w.id), 'paused')
    call('DEL', flow_key(w.id, 'held'))
  end
  if not w.within and not flow.is_busy(w) then -- a sub-workflow is kept as long as the workflow around it
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

function flow.end_if_done(w)
  if #w.work > 0 or flow.is_open(w, 1) then return end
  local outcome = outcome_of(w)
  if w.handlers and flow.has_handlers_left(w, outcome) then return end
  end_flow(w, (w.untidy and outcome == 'completed') and 'failed' or outcome)
end
