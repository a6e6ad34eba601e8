--@use flow, flow_rules, flow_maps, flow_phases, flow_stop, flow_forget, flow_end
-- move() tells a workflow here that a job of it has ended, or will run again. Before their commit, scripts let it go on.

flow.ENDS = { completed = 'completed', dead = 'failed', cancelled = 'cancelled' }

-- A job of a workflow has ended. It counts once, and only if it is the step's present job. `run`: how it ran, if the
-- script knows that already, see flow.run_of; `inputs`: its data, if references were filled in.
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
  if flow.step(w, n).kind then run = nil end -- the last run of such a job is only a part of the step
  flow.finish(w, n, flow.ENDS[state], nil, run or flow.run_of(id))
end

-- A job of a workflow will run again. If its workflow is being stopped, advance() stops the step before this call claims
-- anything, however much is left to do: else the step would run once more.
function flow.again(text)
  local own, number = unpack(words(text))
  local w = flow.open(own)
  if w and w.state == 'running' and flow.why_cut(w) then
    w.back = w.back or {}
    w.back[#w.back + 1] = tonumber(number)
    flow.touch(w)
  end
end

-- What a move of a workflow's job means to the workflow; `...`: the fields that the move has written.
function places.tell(id, to, ...)
  local place, run, inputs = unpack(places.known[id])
  places.known[id] = nil
  if not flow.ENDS[to] then return flow.again(place) end
  local written = {}
  for i = 1, select('#', ...), 2 do
    local field, value = select(i, ...)
    written[field] = value
  end
  flow.ended(place, id, to, to == 'completed' and written.result, to == 'dead' and written.error, run, inputs)
end

local function carry_out(w)
  while #w.work > 0 and left_over > 0 do
    local what, n, from = unpack(table.remove(w.work))
    local rest = flow.work[what](w, n, from)
    if rest then w.work[#w.work + 1] = { what, n, rest } end
  end
end

local function advance(w)
  for _, n in ipairs(w.begins or {}) do
    flow.decide(w, n)
  end
  w.begins = nil
  for _, n in ipairs(w.back or {}) do
    flow.work.stop(w, n)
  end
  w.back = nil
  repeat
    flow.cut_short(w)
    carry_out(w)
    if #w.work == 0 then flow.end_if_done(w) end
  until w.state ~= 'running' or left_over <= 0 or #w.work == 0
end

-- Notes when the workflow must be looked at even if no job of it ends: now if work is left, else at its deadline.
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

-- Notes when the first workflow of the partition must be looked at.
local function note_first()
  local _, due = unpack(call('ZRANGE', flows_key('due'), 0, 0, 'WITHSCORES'))
  local at = call('EXISTS', flows_key('gone')) == 1 and '1' or due
  if at then
    call('HSET', partition_key, 'flows_due', at)
  else
    call('HDEL', partition_key, 'flows_due')
  end
  stored.flows_due = at
end

-- Lets all changed workflows go on. A script calls this after all that it does to jobs, and before its commit.
function flow.go_on()
  if #changed == 0 and not stale then return end
  flush()
  local noted, i = false, 1
  while i <= #changed do -- the list grows: a workflow may touch its parent or its children
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
  if flow.over > 0 then flow.prune() end
  flow.over = 0
  if noted or stale then note_first() end
  flush() -- a claim of the same call must find what has become ready
end

-- Opens the workflows that are due, see note_due. Scripts that claim, settle or reap call this.
function flow.carry_on()
  if not stored.flows_due or tonumber(stored.flows_due) > NOW then return end
  for _, id in ipairs(call('ZRANGE', flows_key('due'), '-inf', NOW, 'BYSCORE', 'LIMIT', 0, 20)) do
    local w = flow.open(id)
    if w and w.state == 'running' then
      local late = w.deadline and tonumber(w.deadline) <= NOW and not w.ending and not w.paused
      if late and w.group == 1 and flow.is_open(w, 1) then flow.cancel(w, 'timed_out') end
      flow.touch(w)
    else
      call('ZREM', flows_key('due'), id)
      stale = true
    end
  end
  if call('EXISTS', flows_key('gone')) == 1 then
    left_over = flow.CLEARED -- deleting is not what the caller came for
    flow.clear_away()
    left_over = flow.MOST
  end
end
