#!lua flags=no-writes
-- types: the job types that workers have published, a portion of them.
--   ARGV     now, cursor ('0' to begin)
--   returns  msgpack of [next cursor or '0', [type, JSON]*]; one may be there twice
--@use keys
local page, rows = call('HSCAN', types_key, ARGV[2], 'COUNT', 100), {}
for i = 1, #page[2], 2 do
  rows[#rows + 1] = { page[2][i], page[2][i + 1] }
end
return cmsgpack.pack({ page[1], rows })
