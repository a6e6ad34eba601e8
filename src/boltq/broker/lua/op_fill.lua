-- op_fill: a stretch of the jobs that a bulk operation shall act on, before it begins. May be repeated.
--   ARGV     now, operation, how many were there before, msgpack of "id since"*, seconds until it is forgotten
--   returns  how many are there now
--@use keys
local key = op_items_key(ARGV[2])
local there = call('LLEN', key)
if there ~= tonumber(ARGV[3]) then return there end
there = call('RPUSH', key, unpack(cmsgpack.unpack(ARGV[4])))
call('EXPIRE', key, ARGV[5])
return there
