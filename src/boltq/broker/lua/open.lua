#!lua flags=allow-oom
-- open: the stored settings of the namespace. The number of partitions is written once; the rest follows the caller.
--   ARGV     now, number of partitions to begin with, msgpack of [name, number]*
--   returns  the number of partitions
--@use clock
call('HSETNX', partition_key, 'partitions', ARGV[2])
for _, setting in ipairs(cmsgpack.unpack(ARGV[3])) do
  local name, number = unpack(setting)
  call('HSET', partition_key, name, number)
end
return tonumber(call('HGET', partition_key, 'partitions'))
