#!lua flags=no-writes
-- flow_get: a workflow as it stands, with every step.
--   ARGV     now, id, 1 for the form too, how many bytes errors and answers may have together
--   returns  msgpack of [[field, value, ...], [number, text, end, job, [job's fields], error, answer, [map], 1 when the
--            error or the answer was left out]*]; of a step that is tried again, the error is that of the last run
--   refuses  NOT_FOUND
--@use reading
local id, budget = ARGV[2], { left = tonumber(ARGV[4]) }
local head = call('HGETALL', flow_key(id))
if #head == 0 then refuse('NOT_FOUND', id) end
local fields = {}
for i = 1, #head, 2 do
  if head[i] ~= 'todo' and (head[i] ~= 'form' or ARGV[3] == '1') then
    fields[#fields + 1] = head[i]
    fields[#fields + 1] = head[i + 1]
  end
end
local JOB = { 'state', 'route', 'since', 'n', 'tries', 'worker', 'took', 'lost', 'phase', 'child', 'prompt', 'due', 'cancel', 'began', 'left' }
local texts, rows = call('HGETALL', flow_key(id, 'texts')), {}
for i = 1, #texts, 2 do
  local n = texts[i]
  local job = call('HGET', flow_key(id, 'jobs'), n)
  local standing = call('HMGET', job_key(job), unpack(JOB))
  for k = 1, #JOB do
    standing[k] = standing[k] or ''
  end
  if standing[1] == 'scheduled' or standing[1] == 'retrying' then
    standing[12] = call('ZSCORE', index_key(route_of(standing[2]).queue, standing[1]), job) or standing[12]
  end
  local map = call('HMGET', flow_key(id, 'map:' .. n), 'total', 'begun', 'ahead')
  local numbers = {}
  if map[1] then
    local begun = (tonumber(map[2]) or 0) + (tonumber(map[3]) or 0)
    numbers = add_item_counts({ tonumber(map[1]), begun }, id, n)
  end
  local retrying = standing[1] == 'retrying'
  local err, cut = read_within(budget, retrying and job_key(job) or flow_key(id, 'errors'), retrying and 'error' or n)
  local answer, cut_too = read_within(budget, flow_key(id, 'answers'), n)
  rows[#rows + 1] = {
    tonumber(n), texts[i + 1], call('HGET', flow_key(id, 'ends'), n) or '', job, standing,
    err, answer, numbers, (cut or cut_too) and 1 or 0,
  }
end
return cmsgpack.pack({ fields, rows })
