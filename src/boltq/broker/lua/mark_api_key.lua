#!lua flags=allow-oom
-- mark_api_key: notes that an API key was used, or revokes it. What is there already stays.
--   ARGV     now, id, "used" | "revoked", ms for which a use stands before it is noted again
--   returns  msgpack of the key
--   refuses  NOT_FOUND
--@use clock, words
local stored = call('HGET', api_keys_key, ARGV[2])
if not stored then refuse('NOT_FOUND', 'no API key ' .. ARGV[2]) end
local key = cmsgpack.unpack(stored)
if ARGV[3] == 'revoked' then
  if key[ApiKey.revoked_at] > 0 then return stored end
  key[ApiKey.revoked_at] = NOW
else
  if key[ApiKey.last_used_at] > NOW - tonumber(ARGV[4]) then return stored end
  key[ApiKey.last_used_at] = NOW
end
stored = cmsgpack.pack(key)
call('HSET', api_keys_key, ARGV[2], stored)
return stored
