#!lua flags=no-writes
-- flow_ends: how steps of a workflow ended, with their results: what its output is made of.
--   ARGV     now, id, msgpack of the steps' numbers, how many bytes of results it may read
--   returns  msgpack of [number, state, result, error, numbers of a map]*, as in flow_look; only a number of bytes, when
--            it would be more than that
--@use look
local ends, bytes = look.ends(ARGV[2], cmsgpack.unpack(ARGV[3]), call('HGET', flow_key(ARGV[2]), 'maps') or '', tonumber(ARGV[4]))
return cmsgpack.pack(ends or bytes)
