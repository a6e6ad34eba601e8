--@use keys, words
-- For scripts that only read.
local FIELDS = JobRow.fields
local SUMMARY = JobRow.flow -- a list shows no payloads: the fields up to this one

-- A JobRow up to a field; nil when there is no record.
local function read_job(id, last)
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

-- How many items of a map completed, failed and were cancelled: behind what stands in `numbers`.
local function add_item_counts(numbers, id, n)
  for _, part in ipairs({ 'good', 'bad', 'gone' }) do
    numbers[#numbers + 1] = call('SCARD', flow_key(id, 'map:' .. n .. ':' .. part))
  end
  return numbers
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

-- A workflow as a line of a list: [id, name, state, submitted, since, ending, paused, parent, generation, steps, ended, failed,
-- within]; nil when there is none.
local function flow_row(id)
  local head = call('HMGET', flow_key(id), 'name', 'state', 'at', 'since', 'ending', 'paused', 'parent', 'gen', 'within')
  if not head[1] then return nil end
  local steps = call('HLEN', flow_key(id, 'steps'))
  local open = 0
  for group = 1, 3 do
    open = open + call('SCARD', flow_key(id, 'open:' .. group))
  end
  return {
    id, head[1], head[2], tonumber(head[3]), tonumber(head[4]), head[5] or '', head[6] and 1 or 0, head[7] or '',
    tonumber(head[8]), steps, steps - open, call('HLEN', flow_key(id, 'errors')), head[9] or '',
  }
end

local STANDING = {
  'state', 'route', 'since', 'n', 'tries', 'worker', 'took', 'lost', 'phase', 'child', 'prompt', 'due', 'cancel', 'began', 'left',
}

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

local function map_numbers(id, n, maps)
  if not string.find(maps, ' ' .. n .. ' ', 1, true) then return {} end
  local map = call('HMGET', flow_key(id, 'map:' .. n), 'total', 'begun', 'ahead')
  if not map[1] then return {} end
  local begun = (tonumber(map[2]) or 0) + (tonumber(map[3]) or 0)
  return add_item_counts({ tonumber(map[1]), begun }, id, n)
end

-- A step as it stands: see flow_get.lua. `n`: text.
local function flow_step_row(id, n, text, budget, record)
  local job = record.jobs[n]
  local standing = call('HMGET', job_key(job), unpack(STANDING))
  for k = 1, #STANDING do
    standing[k] = standing[k] or ''
  end
  if standing[1] == 'scheduled' or standing[1] == 'retrying' then
    standing[12] = call('ZSCORE', index_key(route_of(standing[2]).queue, standing[1]), job) or standing[12]
  end
  local err, cut, answer, cut_too = '', false, '', false
  if standing[1] == 'retrying' then
    err, cut = read_within(budget, job_key(job), 'error')
  elseif record.errors[n] then
    err, cut = read_within(budget, flow_key(id, 'errors'), n)
  end
  if record.answers[n] then
    answer, cut_too = read_within(budget, flow_key(id, 'answers'), n)
  end
  return {
    tonumber(n), text, record.ends[n] or '', job, standing, err, answer, map_numbers(id, n, record.maps),
    (cut or cut_too) and 1 or 0,
  }
end

-- What a step was given and gave: see flow_data.lua. `n`: text.
local function flow_data_row(id, n, budget, record)
  local step_key = job_key(record.jobs[n] or '')
  local job = call('HMGET', step_key, 'state', 'child')
  local is_there = job[1]
  local past = not is_there and string.match(record.ends[n] or '', '^%a+ %a+ %d+ %d+ %d+ %d+ (%S+)')
  local child = job[2] or (past and past ~= '-' and past)
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
  return { tonumber(n), inputs, result, (cut or cut_too) and 1 or 0 }
end
