#!lua flags=no-writes
-- flow_look: what a worker needs to know of the step of which it has claimed the job.
--   ARGV     now, job
--   returns  msgpack of [workflow, step's text, input, [name, outcome], phase, item or 0, what is wrong with the item,
--            [id, state, result, error, map]* of the steps that it reads, [first failed step, error, attempts] or [],
--            and by its phase: child's [state, output's text, plan...]; items' [numbers, results]; answer, when due]
--@use reading, clock
local job = call('HMGET', job_key(ARGV[2]), 'flow', 'phase', 'wrong', 'child', 'due', 'state')
if not job[1] then refuse('NOT_FOUND', ARGV[2]) end
local at = words(job[1])
local id, n = at[1], at[2]

local function map_numbers(number)
  local row = call('HMGET', flow_key(id, 'map:' .. number), 'total', 'begun', 'stopped', 'bytes', 'bearable')
  if not row[1] then return {} end
  local numbers = { tonumber(row[1]), tonumber(row[2]) or 0, row[3] and 1 or 0, tonumber(row[4]) or 0, tonumber(row[5]) }
  for _, part in ipairs({ 'good', 'bad', 'gone' }) do
    numbers[#numbers + 1] = call('SCARD', flow_key(id, 'map:' .. number .. ':' .. part))
  end
  return numbers
end

local function end_of(number)
  local ends = call('HGET', flow_key(id, 'ends'), number)
  return {
    number, ends and string.match(ends, '^%a+') or 'pending', call('HGET', flow_key(id, 'results'), number) or '',
    call('HGET', flow_key(id, 'errors'), number) or '', map_numbers(number),
  }
end

local head = call('HMGET', flow_key(id), 'input', 'name', 'group', 'ending', 'lost', 'broken')
local info = cmsgpack.unpack(call('HGET', flow_key(id, 'steps'), n))
local reads = {}
for i, number in ipairs(info[11]) do
  reads[i] = end_of(number)
end

-- The first step that failed and had not to: for the handlers.
local failure = {}
if info[2] > 1 then
  local ends, numbers = call('HGETALL', flow_key(id, 'ends')), {}
  for i = 1, #ends, 2 do
    if string.match(ends[i + 1], '^failed bad') then numbers[#numbers + 1] = tonumber(ends[i]) end
  end
  table.sort(numbers)
  if numbers[1] then
    local step = cmsgpack.unpack(call('HGET', flow_key(id, 'steps'), numbers[1]))
    local failed = call('HGET', flow_key(id, 'jobs'), numbers[1])
    local tries = call('HGET', job_key(failed), 'tries')
    if step[2] == 1 then failure = { step[1], call('HGET', flow_key(id, 'errors'), numbers[1]) or '', tonumber(tries) or 0 } end
  end
end

local outcome = 'running'
if info[2] > 1 then
  outcome = head[6] and 'failed' or 'succeeded'
  if head[4] and head[5] then outcome = head[4] == 'cancelled' and 'cancelled' or 'failed' end
end

local more = {}
if job[2] == 'items' then
  more = { map_numbers(n), call('HGETALL', flow_key(id, 'map:' .. n .. ':results')) }
elseif job[2] == 'child' then
  more = { job[4] }
elseif job[2] == 'ask' then
  more = { call('HGET', flow_key(id, 'answers'), n) or '', tonumber(job[5]) or 0, NOW }
end
return cmsgpack.pack({
  id, call('HGET', flow_key(id, 'texts'), n), head[1], { head[2], outcome }, job[2] or '', tonumber(at[3]) or 0,
  job[3] or '', reads, failure, more,
})
