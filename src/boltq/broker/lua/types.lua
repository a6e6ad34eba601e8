#!lua flags=no-writes
-- types: the job types that workers have published, a portion of them.
--   ARGV     now, cursor ('0' to begin)
--   returns  msgpack of [next cursor or '0', [type, JSON]*]; one may be there twice
--@use keys
local following, flat = unpack(call('HSCAN', types_key, ARGV[2], 'COUNT', 100))
local rows = {}
for i = 1, #flat, 2 do
  rows[#rows + 1] = { flat[i], flat[i + 1] }
end
return cmsgpack.pack({ following, rows })
