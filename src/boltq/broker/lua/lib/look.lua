--@use reading, clock
-- What a worker needs to know of the step of which it has claimed the job.
local look = { MOST = 1048576 } -- bytes of Looks that one claim may bring

local function begin_look() look.left = look.MOST end

-- Returns a MapRow; {} if the map has no items yet.
function look.map_row(id, number)
  local total, begun, stopped, bytes, bearable = unpack(
    call('HMGET', flow_key(id, 'map:' .. number), 'total', 'begun', 'stopped', 'bytes', 'bearable')
  )
  if not total then return {} end
  local completed, failed, cancelled = item_counts(id, number)
  return MapRow{
    total = tonumber(total), begun = tonumber(begun) or 0, stopped = stopped and 1 or 0, bytes = tonumber(bytes) or 0,
    bearable = tonumber(bearable) or 0, completed = completed, failed = failed, cancelled = cancelled,
  }
end

-- Returns how the steps ended to which a step refers, and how many bytes that is; nil if that is more than `most`.
function look.ends(id, numbers, maps, most)
  local ends, bytes = #numbers > 0 and call('HMGET', flow_key(id, 'ends'), unpack(numbers)) or {}, 0
  for i, n in ipairs(numbers) do
    local state = ends[i] and string.match(ends[i], '^%a+') or 'pending'
    local result = call('HGET', flow_key(id, 'results'), n) or ''
    local err = state == 'failed' and call('HGET', flow_key(id, 'errors'), n) or ''
    local is_map = string.find(maps .. ' ', ' ' .. n .. ' ', 1, true)
    bytes = bytes + #result + #err
    if bytes > most then return nil, bytes end
    ends[i] = StepEndRow{ number = n, state = state, result = result, error = err, map = is_map and look.map_row(id, n) or {} }
  end
  return ends, bytes
end

look.LOST = {
  timed_out = [[{"class":"TimedOut","message":"the workflow's time was up","category":"timeout"}]],
  step = [[{"class":"Cancelled","message":"it was cancelled","category":"unknown"}]],
}

-- Returns the first of these steps, number and id, if it is no handler.
function look.first(id, numbers)
  table.sort(numbers)
  local first = unpack(numbers)
  local info = first and cmsgpack.unpack(call('HGET', flow_key(id, 'steps'), first))
  if info and info[StepInfoRow.group] == 1 then return first, info[StepInfoRow.id] end
end

-- Returns the step that handlers are told of: the first that failed and may not; else the first that was cancelled, by
-- itself or since the workflow's time was up. Returns {} if a person cancelled the workflow: that is no failure.
function look.failure(id, ending)
  local ends, bad, lost = call('HGETALL', flow_key(id, 'ends')), {}, {}
  for i = 1, #ends, 2 do
    if string.match(ends[i + 1], '^failed bad') then bad[#bad + 1] = tonumber(ends[i]) end
    if string.match(ends[i + 1], '^cancelled lost') then lost[#lost + 1] = tonumber(ends[i]) end
  end
  local n, step = look.first(id, bad)
  local err = n and call('HGET', flow_key(id, 'errors'), n) or ''
  if not n and ending ~= 'cancelled' then
    n, step = look.first(id, lost)
    err = look.LOST[ending or 'step']
  end
  if not n then return {} end
  local tries = call('HGET', job_key(call('HGET', flow_key(id, 'jobs'), n)), 'tries')
  return FailureRow{ step = step, error = err, attempts = tonumber(tries) or 0 }
end

function look.outcome(ending, lost, broken)
  if ending and lost then return ending == 'cancelled' and 'cancelled' or 'failed' end
  return broken and 'failed' or 'completed'
end

-- Returns a Look, and how many bytes that is. Returns nil if the job belongs to no workflow; nil and the bytes if they are
-- more than `most`. `begins`: returns nil too if the step has begun before.
function look.at(job_id, most, begins)
  local place, phase, wrong, child, due, goes_on = unpack(
    call('HMGET', job_key(job_id), 'flow', 'phase', 'wrong', 'child', 'due', 'goes_on')
  )
  if not place or (begins and phase) then return nil end
  local id, n, item = unpack(words(place))
  local stored, text = call('HGET', flow_key(id, 'steps'), n), call('HGET', flow_key(id, 'texts'), n)
  if not stored then return nil end
  local info = cmsgpack.unpack(stored)
  local input, name, ending, lost, broken, maps = unpack(
    call('HMGET', flow_key(id), 'input', 'name', 'ending', 'lost', 'broken', 'maps')
  )
  local reads, bytes = look.ends(id, info[StepInfoRow.reads], maps or '', most)
  bytes = bytes + #text + #(input or '')
  if not reads or bytes > most then return nil, bytes end
  local handles, context = info[StepInfoRow.group] > 1, PHASES[phase].context
  local outcome = handles and look.outcome(ending, lost, broken) or 'running'
  return Look{
    workflow = id, text = text, input = input, about = { name, outcome }, phase = phase or '', item = tonumber(item) or 0,
    wrong = wrong or '', reads = reads,
    failure = handles and look.failure(id, ending) or {},
    later = context and context(id, n, child, due) or (goes_on and { goes_on } or {}),
  }, bytes
end

-- Returns a Look to go with a claim, if the step has not begun before, and the Look is not too large.
function look.ahead(job_id)
  local found, bytes = look.at(job_id, look.left, true)
  if found then look.left = look.left - bytes end
  return found
end
