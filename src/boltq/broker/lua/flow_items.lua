#!lua flags=no-writes
-- flow_items: the items of a map, in their order.
--   ARGV     now, id, step's number, number of the first item to look at, states ('' for all), how many, how many that
--            have not ended to look at at most, how many bytes errors may have together
--   returns  msgpack of [number to go on at or 0, ItemRow*]
--   refuses  NOT_FOUND
--@use reading
local id, n, first, wanted = ARGV[2], ARGV[3], tonumber(ARGV[4]), {}
local most, left, budget = tonumber(ARGV[6]), tonumber(ARGV[7]), { left = tonumber(ARGV[8]) }
if call('EXISTS', flow_key(id)) == 0 then refuse('NOT_FOUND', id) end
for _, state in ipairs(words(ARGV[5])) do
  wanted[state] = true
end
local some, opens = next(wanted) ~= nil, wanted.pending or wanted.queued or wanted.running or wanted.waiting
local over = (call('HGET', flow_key(id, 'ends'), n) or 'started') ~= 'started'
local map_key = flow_key(id, 'map:' .. n)
local jobs_key, errors_key = map_key .. ':jobs', map_key .. ':errors'
local total, begun = unpack(call('HMGET', map_key, 'total', 'begun'))
total, begun = tonumber(total) or 0, tonumber(begun) or 0
local rows, JOB = {}, ItemJobRow.fields
local ENDS = { completed = ':good', failed = ':bad', cancelled = ':gone' }

local function ends_of(numbers)
  local found = {}
  for state, part in pairs(ENDS) do
    local set_key = map_key .. part
    for i, is in ipairs(call('SMISMEMBER', set_key, unpack(numbers))) do
      if is == 1 then found[i] = state end
    end
  end
  return found
end

-- Returns the state of an item that is not counted as ended, in the words of a step. Items that never began are cancelled
-- when their map ends.
local function stands(number, job)
  local state, phase = job[ItemJobRow.state], job[ItemJobRow.phase]
  if not state or state == 'cancelled' then return over and 'cancelled' or state or 'pending' end
  if state == 'blocked' then return (PHASES[phase].for_jobs and 'running') or (number <= begun and 'queued') or 'pending' end
  if state == 'scheduled' or state == 'retrying' then return 'waiting' end
  return state
end

local function show(number, ended, job_id, job)
  local own_key = job_key(job_id)
  local state, err, cut = ended or stands(number, job), '', false
  if ended == 'failed' or job[ItemJobRow.state] == 'retrying' then
    err, cut = read_within(budget, own_key, 'error')
    if err == '' and not cut then err, cut = read_within(budget, errors_key, number) end
  end
  for k = 1, #JOB do
    job[k] = job[k] or ''
  end
  rows[#rows + 1] = ItemRow{ number = number, state = state, job_id = job_id, job = job, error = err, truncated = cut and 1 or 0 }
end

local function look(number, ended, job_id)
  if some and ended and not wanted[ended] then return true end
  if not ended and some and not (over and wanted.cancelled or not over and opens) then return true end
  if not ended then
    if left <= 0 then return false end
    left = left - 1
  end
  local own_key = job_key(job_id)
  local job = call('HMGET', own_key, unpack(JOB))
  if ended or not some or wanted[stands(number, job)] then
    if #rows >= most then return false end
    show(number, ended, job_id, job)
  end
  return true
end

while first <= total do
  local numbers, last = {}, math.min(first + 249, total)
  for number = first, last do
    numbers[#numbers + 1] = number
  end
  local ends, ids = ends_of(numbers), call('HMGET', jobs_key, unpack(numbers))
  for i, number in ipairs(numbers) do
    if not look(number, ends[i], ids[i] or '') then return cmsgpack.pack({ number, rows }) end
  end
  first = last + 1
end
return cmsgpack.pack({ 0, rows })
