#!lua flags=no-writes
-- op_read: bulk operations as they stand.
--   ARGV     now, msgpack of ids, or of none: the newest
--   returns  msgpack of [[id, field, text, ...], errors]*; those that are not there are left out, and of a list the patches
--@use keys
local ids, rows = cmsgpack.unpack(ARGV[2]), {}
local listed = #ids == 0
if listed then ids = call('ZREVRANGE', ops_key, 0, 999) end
for _, id in ipairs(ids) do
  local flat, row, errors = call('HGETALL', op_key(id)), { id }, {}
  for i = 1, #flat, 2 do
    if flat[i] == 'errors' then
      errors = cmsgpack.unpack(flat[i + 1])
    elseif not (listed and flat[i] == 'patch') then
      row[#row + 1] = flat[i]
      row[#row + 1] = flat[i + 1]
    end
  end
  if #flat > 0 then rows[#rows + 1] = { row, errors } end
end
return cmsgpack.pack(rows)
