#!lua flags=no-writes
-- flow_data: what steps of a workflow were given and gave: within a number of bytes, and what does not fit is left out.
--   ARGV     now, id, msgpack of the steps' numbers, bytes
--   returns  msgpack of StepDataRow*. The inputs of a
--            sub-workflow are its own input
--   refuses  NOT_FOUND
--@use reading
local id, budget, rows = ARGV[2], { left = tonumber(ARGV[4]) }, {}
if call('EXISTS', flow_key(id)) == 0 then refuse('NOT_FOUND', id) end
local record = flow_record(id)

for i, n in ipairs(cmsgpack.unpack(ARGV[3])) do
  rows[i] = flow_data_row(id, string.format('%d', n), budget, record)
end
return cmsgpack.pack(rows)
