--@use reading, clock
-- What a worker needs to know of the step of which it has claimed the job.
local look = { MOST = 1048576 } -- bytes that one claim may bring of them

local function begin_look() look.left = look.MOST end

function look.map_numbers(id, number)
  local row = call('HMGET', flow_key(id, 'map:' .. number), 'total', 'begun', 'stopped', 'bytes', 'bearable')
  if not row[1] then return {} end
  local numbers = { tonumber(row[1]), tonumber(row[2]) or 0, row[3] and 1 or 0, tonumber(row[4]) or 0, tonumber(row[5]) }
  return add_item_counts(numbers, id, number)
end

-- How the steps ended that it refers to, and how many bytes that is; nil when it is more than `most`.
function look.ends(id, numbers, maps, most)
  local ends, bytes = #numbers > 0 and call('HMGET', flow_key(id, 'ends'), unpack(numbers)) or {}, 0
  for i, n in ipairs(numbers) do
    local state = ends[i] and string.match(ends[i], '^%a+') or 'pending'
    local result = call('HGET', flow_key(id, 'results'), n) or ''
    local err = state == 'failed' and call('HGET', flow_key(id, 'errors'), n) or ''
    local is_map = string.find(maps .. ' ', ' ' .. n .. ' ', 1, true)
    bytes = bytes + #result + #err
    if bytes > most then return nil, bytes end
    ends[i] = { n, state, result, err, is_map and look.map_numbers(id, n) or {} }
  end
  return ends, bytes
end

look.LOST = {
  timed_out = [[{"class":"TimedOut","message":"the workflow's time was up","category":"timeout"}]],
  step = [[{"class":"Cancelled","message":"it was cancelled","category":"unknown"}]],
}

-- The first of these steps, when it is no handler's.
function look.first(id, numbers)
  table.sort(numbers)
  local step = numbers[1] and cmsgpack.unpack(call('HGET', flow_key(id, 'steps'), numbers[1]))
  if step and step[2] == 1 then return numbers[1], step[1] end
end

-- For the handlers: the first step that failed and had not to; without one, the first that was cancelled, by itself or
-- for the workflow's time. When a person cancelled it all, that is no failure.
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
  return { step, err, tonumber(tries) or 0 }
end

function look.outcome(head)
  if head[4] and head[5] then return head[4] == 'cancelled' and 'cancelled' or 'failed' end
  return head[6] and 'failed' or 'completed'
end

-- What belongs to the phase of a step that has begun before.
function look.later(id, n, job)
  if job[2] == 'items' then
    local map_key = flow_key(id, 'map:' .. n)
    local results_key, errors_key = map_key .. ':results', map_key .. ':errors'
    return { look.map_numbers(id, n), call('HGETALL', results_key), call('HGETALL', errors_key), call('HGETALL', map_key) }
  elseif job[2] == 'child' then
    return { job[4] }
  elseif job[2] == 'ask' then
    return { call('HGET', flow_key(id, 'answers'), n) or '', tonumber(job[5]) or 0, NOW }
  end
  return job[6] and { job[6] } or {}
end

-- See flow_look.lua, and how many bytes that is. Nil when the job belongs to no workflow; nil and the bytes when they
-- are more than `most`. `begins`: only of a step that has not begun before.
function look.at(job_id, most, begins)
  local job = call('HMGET', job_key(job_id), 'flow', 'phase', 'wrong', 'child', 'due', 'goes_on')
  if not job[1] or (begins and job[2]) then return nil end
  local at = words(job[1])
  local id, n = at[1], at[2]
  local row = call('HGET', flow_key(id, 'steps'), n)
  if not row then return nil end
  local info, text = cmsgpack.unpack(row), call('HGET', flow_key(id, 'texts'), n)
  local head = call('HMGET', flow_key(id), 'input', 'name', 'group', 'ending', 'lost', 'broken', 'maps')
  local reads, bytes = look.ends(id, info[11], head[7] or '', most)
  bytes = bytes + #text + #(head[1] or '')
  if not reads or bytes > most then return nil, bytes end
  local outcome = info[2] > 1 and look.outcome(head) or 'running'
  return {
    id, text, head[1], { head[2], outcome }, job[2] or '', tonumber(at[3]) or 0, job[3] or '', reads,
    info[2] > 1 and look.failure(id, head[4]) or {}, look.later(id, n, job),
  }, bytes
end

-- The same, to go with a claim: of a step that begins, when it is not too large.
function look.ahead(job_id)
  local found, bytes = look.at(job_id, look.left, true)
  if found then look.left = look.left - bytes end
  return found
end
