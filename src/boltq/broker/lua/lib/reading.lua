--@use keys, words
-- For scripts that only read.
local FIELDS = {
  'state', 'route', 'at', 'since', 'n', 'tries', 'lost', 'worker', 'took', 'error', 'reason', 'cancel', 'progress',
  'expires', 'tags', 'flow', 'spec', 'data', 'result', 'by', 'replay_of', 'replays', 'unlogged',
}
local SUMMARY = 16 -- a list shows no payloads: the first fields only

-- [id, when due or 0, fields...]; nil when there is no record.
local function read_job(id, fields)
  local values = call('HMGET', job_key(id), unpack(FIELDS, 1, fields))
  if not values[1] then return nil end
  local route = route_of(values[2])
  local due = 0
  if values[1] == 'scheduled' or values[1] == 'retrying' then
    due = tonumber(call('ZSCORE', index_key(route.queue, values[1]), id)) or 0
  end
  local row = { id, due }
  for i = 1, fields do
    row[#row + 1] = values[i] or ''
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
