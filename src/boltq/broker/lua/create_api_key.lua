#!lua
-- create_api_key: a new API key. Those that ended long ago are forgotten first.
--   ARGV     now, id, msgpack of [name, digest, scopes, who made it], expires in ms (0: never), most, keep in ms
--   returns  msgpack of the key, as domain/api_keys.py has it
--   refuses  CONFLICT when that id is there, or as many keys as there may be
--@use clock, words
local id, most, keep = ARGV[2], tonumber(ARGV[5]), tonumber(ARGV[6])
local flat = call('HGETALL', api_keys_key)
local count, old = #flat / 2, {}
for i = 1, #flat, 2 do
  if flat[i] == id then refuse('CONFLICT', 'there is a key ' .. id) end
  local key = cmsgpack.unpack(flat[i + 1])
  local ended = key[ApiKey.revoked_at] > 0 and key[ApiKey.revoked_at] or key[ApiKey.expires_at]
  if ended > 0 and ended < NOW - keep then old[#old + 1] = flat[i] end
end
if count - #old >= most then refuse('CONFLICT', 'there are ' .. count .. ' API keys, and no more may be') end
if #old > 0 then call('HDEL', api_keys_key, unpack(old)) end

local name, digest, scopes, by = unpack(cmsgpack.unpack(ARGV[3]))
local life = tonumber(ARGV[4])
local expires = life > 0 and NOW + life or 0
local key = cmsgpack.pack(ApiKey{
  id = id, name = name, digest = digest, scopes = scopes, created_by = by, created_at = NOW, expires_at = expires,
  last_used_at = 0, revoked_at = 0,
})
call('HSET', api_keys_key, id, key)
return key
