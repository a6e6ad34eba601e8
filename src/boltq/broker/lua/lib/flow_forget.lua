--@use flow, memory
-- How long an ended workflow is kept, and how its record is deleted, a part in each call.

local STEP_PARTS = { 'steps', 'texts', 'jobs', 'ends', 'inputs', 'results', 'errors', 'answers', 'left', 'held', 'old', 'open:1', 'open:2', 'open:3' }
local MAP_PARTS = { '', ':jobs', ':good', ':bad', ':gone', ':results', ':errors', ':subs' }

-- Hides a workflow. flow.clear_away deletes its record, and if `jobs` is set, its jobs too.
function flow.bury(id, jobs)
  local gone_key = flow_key(id, 'gone')
  if call('EXISTS', flow_key(id)) == 1 then call('RENAME', flow_key(id), gone_key) end
  if jobs then call('HSET', gone_key, 'jobs_too', 1) end
  call('UNLINK', flow_key(id, 'steps')) -- its jobs are no steps any more
  call('ZREM', flows_key('all'), id)
  call('ZREM', flows_key('ended'), id)
  call('ZREM', flows_key('due'), id)
  call('RPUSH', flows_key('gone'), id)
  memory.keep({ id })
  opened[id], stale = nil, true
end

-- Deletes an ended job: record, log, runs and place in the index.
local function erase(id)
  local state, route_text = unpack(call('HMGET', job_key(id), 'state', 'route'))
  if not state or MOVES[state].cancelled then return end
  local route = route_of(route_text)
  local ended_key = index_key(route.queue, state)
  if state == 'completed' then
    left_over = left_over - math.floor(call('LLEN', ended_key) / 250) -- LREM searches the list
    call('LREM', ended_key, 1, id)
  else
    push(noted('ZREM', ended_key), id)
  end
  call('UNLINK', job_key(id), log_key(id), runs_key(id))
  announce(id, route, state, 'deleted')
end

-- Deletes the jobs in a HASH. Returns true when no job is left.
local function erase_all(jobs_key)
  local cursor, flat = '0', nil
  repeat
    cursor, flat = unpack(call('HSCAN', jobs_key, cursor, 'COUNT', 100))
    for i = 1, #flat, 2 do
      if left_over <= 0 then return false end
      left_over = left_over - 1
      erase(flat[i + 1])
      call('HDEL', jobs_key, flat[i])
    end
  until cursor == '0'
  return true
end

-- Pops members of a SET and calls act() with each. Returns true when the set is empty.
local function with_each(key, act)
  while left_over > 0 do
    local member = call('SPOP', key)
    if not member then return true end
    left_over = left_over - 1
    act(member)
  end
  return false
end

-- Deletes the record of one hidden workflow. Returns true when nothing of it is left.
local function clear_away(id)
  local gone_key = flow_key(id, 'gone')
  local maps, jobs_too, generations = unpack(call('HMGET', gone_key, 'maps', 'jobs_too', 'gen'))
  local keys = { gone_key }
  local function bury(child) -- a sub-workflow is deleted with it
    if call('EXISTS', flow_key(child)) == 1 then flow.bury(child, jobs_too) end
  end
  if not with_each(flow_key(id, 'children'), bury) then return false end
  for n in string.gmatch(maps or '', '%d+') do
    if jobs_too and not erase_all(flow_key(id, 'map:' .. n .. ':jobs')) then return false end
    for _, part in ipairs(MAP_PARTS) do
      keys[#keys + 1] = flow_key(id, 'map:' .. n .. part)
    end
  end
  if jobs_too and not (erase_all(flow_key(id, 'jobs')) and with_each(flow_key(id, 'old'), erase)) then return false end
  for _, part in ipairs(STEP_PARTS) do
    keys[#keys + 1] = flow_key(id, part)
  end
  local last = tonumber(generations) or 0
  for generation = math.max(1, last - flow.PAST), last do
    keys[#keys + 1] = flow_key(id, 'past:' .. generation)
  end
  for first = 1, #keys, 1000 do -- there may be eight for each of 1,000 steps
    call('UNLINK', unpack(keys, first, math.min(#keys, first + 999)))
  end
  return true
end

-- Deletes the records of hidden workflows. Returns true when some are left.
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

function flow.prune()
  local key = flows_key('ended')
  local most = knob('keep_completed')
  local ids = call('ZRANGE', key, '-inf', NOW, 'BYSCORE', 'LIMIT', 0, 20 + flow.over)
  local over = math.min(20 + flow.over, call('ZCARD', key) - most)
  if #ids == 0 and over > 0 then ids = call('ZRANGE', key, 0, over - 1) end
  for _, id in ipairs(ids) do
    flow.bury(id)
  end
  if #ids > 0 then flow.clear_away() end
end

-- Counts in all workflows around `w` how many workflows within them run alone. The outermost is kept while one does.
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

-- How long a workflow is kept that has ended in this state.
function flow.kept_for(state)
  local name = state == 'failed' and 'keep_dead_ms' or 'keep_completed_ms'
  flow.keeps[name] = flow.keeps[name] or knob(name)
  return flow.keeps[name]
end

function flow.forget_map(w, n)
  for _, part in ipairs(MAP_PARTS) do
    call('UNLINK', flow_key(w.id, 'map:' .. n .. part))
  end
end
