#!lua flags=no-writes
-- flow_data: what steps of a workflow were given and gave: within a number of bytes, and what does not fit is left out.
--   ARGV     now, id, msgpack of the steps' numbers, bytes
--   returns  msgpack of [number, inputs or '', result or '', 1 when one of them was left out]*. The inputs of a
--            sub-workflow are its own input
--   refuses  NOT_FOUND
--@use reading
local id, budget, rows = ARGV[2], { left = tonumber(ARGV[4]) }, {}
if call('EXISTS', flow_key(id)) == 0 then refuse('NOT_FOUND', id) end

for i, n in ipairs(cmsgpack.unpack(ARGV[3])) do
  local step_key = job_key(call('HGET', flow_key(id, 'jobs'), n) or '')
  local is_there = call('EXISTS', step_key) == 1
  local past = not is_there and string.match(call('HGET', flow_key(id, 'ends'), n) or '', '^%a+ %a+ %d+ %d+ %d+ %d+ (%S+)')
  local child = is_there and call('HGET', step_key, 'child') or (past and past ~= '-' and past)
  local place, field = step_key, 'data'
  if child then
    place, field = flow_key(child), 'input'
  elseif not is_there then
    place, field = flow_key(id, 'inputs'), n
  end
  local inputs, cut = read_within(budget, place, field)
  local result, cut_too = read_within(budget, flow_key(id, 'results'), n)
  rows[i] = { n, inputs, result, (cut or cut_too) and 1 or 0 }
end
return cmsgpack.pack(rows)
