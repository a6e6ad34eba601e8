#!lua flags=allow-oom
-- audit_note: who did what, kept for a while.
--   ARGV     now, how many entries are kept at most (about), msgpack of [who, action, target, reason, request, result]
--   returns  the id of the entry
--@use clock
local fields, row = { 'by', 'action', 'target', 'reason', 'request', 'result' }, { 'at', NOW }
for i, text in ipairs(cmsgpack.unpack(ARGV[3])) do
  if text ~= '' then
    row[#row + 1] = fields[i]
    row[#row + 1] = text
  end
end
return call('XADD', audit_key, 'MAXLEN', '~', ARGV[2], '*', unpack(row))
