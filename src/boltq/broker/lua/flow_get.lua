#!lua flags=no-writes
-- flow_get: a workflow as it stands, with every step.
--   ARGV     now, id, 1 for the form too
--   returns  msgpack of [[field, value, ...], [number, text, end, job, [job's fields], error, answer, [map]]*]
--   refuses  NOT_FOUND
--@use reading
local id = ARGV[2]
local head = call('HGETALL', flow_key(id))
if #head == 0 then refuse('NOT_FOUND', id) end
local fields = {}
for i = 1, #head, 2 do
  if head[i] ~= 'todo' and (head[i] ~= 'form' or ARGV[3] == '1') then
    fields[#fields + 1] = head[i]
    fields[#fields + 1] = head[i + 1]
  end
end
local JOB = { 'state', 'at', 'since', 'n', 'tries', 'worker', 'took', 'reason', 'phase', 'child', 'prompt', 'due', 'cancel' }
local texts, rows = call('HGETALL', flow_key(id, 'texts')), {}
for i = 1, #texts, 2 do
  local n = texts[i]
  local job = call('HGET', flow_key(id, 'jobs'), n)
  local standing = call('HMGET', job_key(job), unpack(JOB))
  for k = 1, #JOB do
    standing[k] = standing[k] or ''
  end
  local map = call('HMGET', flow_key(id, 'map:' .. n), 'total', 'begun')
  local numbers = {}
  if map[1] then
    numbers = { tonumber(map[1]), tonumber(map[2]) or 0 }
    for _, part in ipairs({ 'good', 'bad', 'gone' }) do
      numbers[#numbers + 1] = call('SCARD', flow_key(id, 'map:' .. n .. ':' .. part))
    end
  end
  rows[#rows + 1] = {
    tonumber(n), texts[i + 1], call('HGET', flow_key(id, 'ends'), n) or '', job, standing,
    call('HGET', flow_key(id, 'errors'), n) or '', call('HGET', flow_key(id, 'answers'), n) or '', numbers,
  }
end
return cmsgpack.pack({ fields, rows })
