#!lua flags=no-writes
-- audit_page: who did what, the newest first.
--   ARGV     now, the entry before which to begin ('' for the newest), how many at most, how many to look at at most,
--            who or '', what or ''
--   returns  msgpack of [the entry before which to go on or '', [id, field, text, ...]*]
--@use keys
local most, left, by, action = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5], ARGV[6]
local rows, before = {}, ARGV[2]

local function fits(flat)
  local fields = {}
  for i = 1, #flat, 2 do
    fields[flat[i]] = flat[i + 1]
  end
  return (by == '' or fields.by == by) and (action == '' or fields.action == action)
end

while true do
  local page = call('XREVRANGE', audit_key, before == '' and '+' or '(' .. before, '-', 'COUNT', 100)
  for _, entry in ipairs(page) do
    local id, flat = unpack(entry)
    before, left = id, left - 1
    if fits(flat) then rows[#rows + 1] = { id, unpack(flat) } end
    if #rows >= most or left <= 0 then return cmsgpack.pack({ before, rows }) end
  end
  if #page < 100 then return cmsgpack.pack({ '', rows }) end
end
