--@use keys, words
-- For scripts that only read.
local FIELDS = JobRow.fields

-- A JobRow, or of a list, which shows no payloads, one up to the field `last`; nil when there is no record.
local function read_job(id, last)
  last = last or #FIELDS
  local row = { id, 0, unpack(call('HMGET', job_key(id), unpack(FIELDS, JobRow.state, last))) }
  local state = row[JobRow.state]
  if not state then return nil end
  if state == 'scheduled' or state == 'retrying' then
    local queue = route_of(row[JobRow.route]).queue
    row[JobRow.due] = tonumber(call('ZSCORE', index_key(queue, state), id)) or 0
  end
  for i = 1, last do
    row[i] = row[i] or ''
  end
  return row
end

-- How many items of a map completed, failed and were cancelled.
local function item_counts(id, n)
  local map_key = flow_key(id, 'map:' .. n)
  local good_key, bad_key, gone_key = map_key .. ':good', map_key .. ':bad', map_key .. ':gone'
  return call('SCARD', good_key), call('SCARD', bad_key), call('SCARD', gone_key)
end

-- A field of a hash, when it fits into what is left of `budget`, bytes; else '' and true.
local function read_within(budget, key, field)
  local size = call('HSTRLEN', key, field)
  if size > budget.left then return '', true end
  budget.left = budget.left - size
  return call('HGET', key, field) or '', false
end

local function ghosts_in(queue, list) return tonumber(call('HGET', queue_key(queue), 'ghosts:' .. list)) or 0 end

local function waiting_in(queue, list) return call('LLEN', list_key(queue, list)) - ghosts_in(queue, list) end

local function parked_in(queue) return math.max(0, tonumber(call('HGET', queue_key(queue), 'parked')) or 0) end

-- A WorkflowRow; nil when there is no such workflow.
local function flow_row(id)
  local name, state, at, since, ending, paused, parent, generation, within = unpack(
    call('HMGET', flow_key(id), 'name', 'state', 'at', 'since', 'ending', 'paused', 'parent', 'gen', 'within')
  )
  if not name then return nil end
  local steps = call('HLEN', flow_key(id, 'steps'))
  local open = 0
  for group = 1, 3 do
    open = open + call('SCARD', flow_key(id, 'open:' .. group))
  end
  return WorkflowRow{
    id = id, name = name, state = state, created_at = tonumber(at), since = tonumber(since), ending = ending or '',
    paused = paused and 1 or 0, parent_job = parent or '', within = within or '', generation = tonumber(generation),
    steps = steps, ended = steps - open, failed = call('HLEN', flow_key(id, 'errors')),
  }
end

local function pairs_of(key)
  local flat, found = call('HGETALL', key), {}
  for i = 1, #flat, 2 do
    found[flat[i]] = flat[i + 1]
  end
  return found
end

local function names_in(key)
  local found = {}
  for _, name in ipairs(call('HKEYS', key)) do
    found[name] = true
  end
  return found
end

-- What the rows of a workflow's steps need of it, read once and not for each: large ones have 1,000.
local function flow_record(id)
  return {
    jobs = pairs_of(flow_key(id, 'jobs')), ends = pairs_of(flow_key(id, 'ends')), errors = names_in(flow_key(id, 'errors')),
    answers = names_in(flow_key(id, 'answers')), results = names_in(flow_key(id, 'results')),
    maps = ' ' .. (call('HGET', flow_key(id), 'maps') or '') .. ' ',
  }
end

local function map_counts(id, n, maps)
  if not string.find(maps, ' ' .. n .. ' ', 1, true) then return {} end
  local total, begun, ahead = unpack(call('HMGET', flow_key(id, 'map:' .. n), 'total', 'begun', 'ahead'))
  if not total then return {} end
  local completed, failed, cancelled = item_counts(id, n)
  return MapCountsRow{
    total = tonumber(total), begun = (tonumber(begun) or 0) + (tonumber(ahead) or 0),
    completed = completed, failed = failed, cancelled = cancelled,
  }
end

local STEP_JOB = StepJobRow.fields

-- A StepRow. `n`: text.
local function flow_step_row(id, n, text, budget, record)
  local job_id = record.jobs[n]
  local job = call('HMGET', job_key(job_id), unpack(STEP_JOB))
  for k = 1, #STEP_JOB do
    job[k] = job[k] or ''
  end
  local state = job[StepJobRow.state]
  if state == 'scheduled' or state == 'retrying' then
    local waiting_key = index_key(route_of(job[StepJobRow.route]).queue, state)
    job[StepJobRow.due] = call('ZSCORE', waiting_key, job_id) or job[StepJobRow.due]
  end
  local err, cut, answer, cut_too = '', false, '', false
  if state == 'retrying' then
    err, cut = read_within(budget, job_key(job_id), 'error')
  elseif record.errors[n] then
    err, cut = read_within(budget, flow_key(id, 'errors'), n)
  end
  if record.answers[n] then
    answer, cut_too = read_within(budget, flow_key(id, 'answers'), n)
  end
  return StepRow{
    number = tonumber(n), text = text, ended = record.ends[n] or '', job_id = job_id, job = job, error = err, answer = answer,
    map = map_counts(id, n, record.maps), truncated = (cut or cut_too) and 1 or 0,
  }
end

-- A StepDataRow. `n`: text.
local function flow_data_row(id, n, budget, record)
  local step_key = job_key(record.jobs[n] or '')
  local is_there, child = unpack(call('HMGET', step_key, 'state', 'child'))
  local past = not is_there and string.match(record.ends[n] or '', '^%a+ %a+ %d+ %d+ %d+ %d+ (%S+)')
  child = child or (past and past ~= '-' and past)
  local place, field = step_key, 'data'
  if child then
    place, field = flow_key(child), 'input'
  elseif not is_there then
    place, field = flow_key(id, 'inputs'), n
  end
  local inputs, cut = read_within(budget, place, field)
  local result, cut_too = '', false
  if record.results[n] then
    result, cut_too = read_within(budget, flow_key(id, 'results'), n)
  end
  return StepDataRow{ number = tonumber(n), inputs = inputs, result = result, truncated = (cut or cut_too) and 1 or 0 }
end
