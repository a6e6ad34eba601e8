#!lua flags=no-writes
-- api_keys: one API key, or all of them.
--   ARGV     now, id ("" for all)
--   returns  [msgpack of a key*]
--@use clock
if ARGV[2] == '' then return call('HVALS', rare_key('api_keys')) end
local key = call('HGET', rare_key('api_keys'), ARGV[2])
return key and { key } or {}
