#!lua flags=no-writes
-- api_keys: one API key, or all of them.
--   ARGV     now, id ("" for all)
--   returns  [msgpack of a key*]
--@use clock
if ARGV[2] == '' then return call('HVALS', api_keys_key) end
local key = call('HGET', api_keys_key, ARGV[2])
return key and { key } or {}
