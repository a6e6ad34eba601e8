#!lua flags=no-writes
-- get: jobs as they stand, with payload, result and log lines.
--   ARGV     now, msgpack of ids
--   returns  msgpack of [row, log lines] for each, or [] for an id that is not there
--@use reading
local rows = {}
for i, id in ipairs(cmsgpack.unpack(ARGV[2])) do
  local row = read_job(id, #FIELDS)
  rows[i] = row and { row, call('LRANGE', log_key(id), 0, -1) } or {}
end
return cmsgpack.pack(rows)
