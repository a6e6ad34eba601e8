--@use flow, flow_begin, flow_forget, flow_maps, flow_pause, reading
-- Runs some steps of an ended workflow again, with new jobs. The earlier run stays readable.

local MOST_OLD = 20000 -- so many jobs, and sub-workflows, of earlier runs are kept as long as the workflow

-- Cuts too many sub-workflows off their ended workflow. From now on each is kept for a time of its own.
local function let_go(id)
  local children_key = flow_key(id, 'children')
  local keep = knob('keep_completed_ms')
  for _, child in ipairs(call('SPOP', children_key, math.max(0, call('SCARD', children_key) - MOST_OLD))) do
    local w = flow.open(child)
    if w and w.alone then flow.note_alone(w, -1) end
    call('HDEL', flow_key(child), 'within', 'alone')
    if w and w.state ~= 'running' then call('ZADD', flows_key('ended'), NOW + keep, child) end
    opened[child] = nil
  end
end

-- Notes the sub-workflows of a map's items that did not complete. They will go on where they failed.
local function note_subs(w, n, total)
  local item_of, good_key, subs_key = flow.ids_of_items(flow.map_key(w, n, 'jobs')), flow.map_key(w, n, 'good'), flow.map_key(w, n, 'subs')
  call('UNLINK', subs_key)
  for i = 1, total do
    local id = item_of(i, total)
    local child = id and call('SISMEMBER', good_key, i) == 0 and call('HGET', job_key(id), 'child')
    if child then call('HSET', subs_key, i, child) end
  end
end

-- Keeps the completed items of a map for the next run, if it has other items too. Returns true if it kept the map.
local function keep_good(w, n, goes_on)
  local key, jobs_key = flow.map_key(w, n), flow.map_key(w, n, 'jobs')
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
  call('UNLINK', jobs_key, flow.map_key(w, n, 'bad'), flow.map_key(w, n, 'gone'), flow.map_key(w, n, 'errors'))
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

-- Notes the jobs of an earlier run, which are deleted with the workflow. Beyond the bound, a job is pruned like any other.
local function note_old(w, n, own, is_map)
  local jobs_key, old_key = flow.map_key(w, n, 'jobs'), flow_key(w.id, 'old')
  w.old = w.old or call('SCARD', old_key)
  if w.old > MOST_OLD then return end
  local ids = is_map and call('HVALS', jobs_key) or {}
  ids[#ids + 1] = own
  w.old = w.old + #ids
  flow.write_all('SADD', old_key, ids)
end

-- `map`: 0 the step is no map, 1 all items begin anew, 2 completed items stay, 3 the step is a sub-workflow that goes on,
-- 4 it is a map of such. Returns the id of the sub-workflow that goes on.
local function forget_step(w, n, map)
  local old, is_map = call('HGET', flow_key(w.id, 'jobs'), n), map == 1 or map == 2 or map == 4
  local ends = map == 3 and call('HGET', flow_key(w.id, 'ends'), n) or ''
  local child = map == 3 and (call('HGET', job_key(old), 'child') or string.match(ends, '^%a+ %a+ %d+ %d+ %d+ %d+ (%w+)'))
  note_old(w, n, old, is_map)
  if is_map and not ((map == 2 or map == 4) and keep_good(w, n, map == 4)) then flow.forget_map(w, n) end
  return child
end

-- Sets `broken` and `lost` as the steps say that do not run again.
local function marks_of(w)
  for n, text in pairs(w.kept) do
    local step = flow.step(w, n)
    local state, standing = string.match(text, '^(%a+) (%a+)')
    if step.group == 1 and (standing == 'bad' or (state == 'cancelled' and not step.allowed)) then flow.set(w, 'broken', 1) end
    if step.group == 1 and state == 'cancelled' then flow.set(w, 'lost', 1) end
  end
end

-- Stores how the last run ended: the workflow's fields, and each step that the next run changes.
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
      local number = unpack(row, 1, 1)
      local n = string.format('%d', number)
      local kept, data = flow_step_row(id, n, texts[n], budget, record), flow_data_row(id, n, budget, record)
      kept[StepRow.inputs], kept[StepRow.result] = data[StepDataRow.inputs], data[StepDataRow.result]
      kept[StepRow.data_truncated] = data[StepDataRow.truncated]
      past[#past + 1] = n
      past[#past + 1] = cmsgpack.pack(kept)
    end
  end
  flow.write_all('HSET', past_key, past)
end

-- `rows`: the steps that begin anew; `others`: those that stay, see flow_rerun.lua. A sub-workflow runs again alone, or for
-- the step of `parent`, a job of the workflow `over`.
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
  local w, goes_on = flow.open_anew(id), {}
  if w.alone then flow.note_alone(w, 1) end
  local names = {}
  for _, row in ipairs(rows) do
    local n, _, _, job, map = unpack(row)
    local job_id = job[1]
    goes_on[job_id] = forget_step(w, n, map) or nil
    names[#names + 1] = n
    names[#names + 1] = n .. ':meaning'
  end
  for _, part in ipairs({ 'ends', 'inputs', 'results', 'errors', 'answers' }) do
    flow.write_all('HDEL', flow_key(id, part), names)
  end
  for _, row in ipairs(others) do
    local n, info, text = unpack(row)
    call('HSET', flow_key(id, 'steps'), n, info)
    call('HSET', flow_key(id, 'texts'), n, text)
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

-- The step of `parent`, a job of the workflow `over`, waits for this sub-workflow from now on, which runs alone so far.
function flow.adopt(id, parent, over)
  local w = flow.open(id)
  flow.set(w, 'parent', parent)
  w.alone = nil
  call('HDEL', flow_key(id), 'alone')
  flow.note_alone(w, -1)
  if over.paused then flow.pause(w) end
end
