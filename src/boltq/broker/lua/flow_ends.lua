#!lua flags=no-writes
-- flow_ends: how steps of a workflow ended, with their results: what its output is made of.
--   ARGV     now, id, msgpack of the steps' numbers, how many bytes of results it may read
--   returns  msgpack of StepEndRow*; only a number of bytes, when it would be more than that
--@use look
local id, numbers, most = ARGV[2], cmsgpack.unpack(ARGV[3]), tonumber(ARGV[4])
local ends, bytes = look.ends(id, numbers, call('HGET', flow_key(id), 'maps') or '', most)
return cmsgpack.pack(ends or bytes)
