#!lua flags=no-writes
-- flow_children: the sub-workflows of a workflow, in no order, a portion at a time.
--   ARGV     now, id, cursor ('0' for the first portion), about how many
--   returns  msgpack of [next cursor or '0', WorkflowRow*]
--   refuses  NOT_FOUND
--@use reading
if call('EXISTS', flow_key(ARGV[2])) == 0 then refuse('NOT_FOUND', ARGV[2]) end
local children_key, rows = flow_key(ARGV[2], 'children'), {}
local cursor, page = unpack(call('SSCAN', children_key, ARGV[3], 'COUNT', ARGV[4]))
table.sort(page)
for _, id in ipairs(page) do
  rows[#rows + 1] = flow_row(id)
end
return cmsgpack.pack({ cursor, rows })
