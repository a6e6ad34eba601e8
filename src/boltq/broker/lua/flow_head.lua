#!lua flags=no-writes
-- flow_head: a workflow as it stands, without its steps.
--   ARGV     now, id
--   returns  msgpack of a WorkflowRow
--   refuses  NOT_FOUND
--@use reading
local row = flow_row(ARGV[2])
if not row then refuse('NOT_FOUND', ARGV[2]) end
return cmsgpack.pack(row)
