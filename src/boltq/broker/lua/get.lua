#!lua flags=no-writes
-- get: jobs as they stand, with payload, result, log lines and past runs.
--   ARGV     now, msgpack of ids
--   returns  msgpack of [row, log lines, runs] for each; a run is [attempt, delivery,
--            worker, started, ended, outcome, error],, or [] for an id that is not there
--@use reading
local rows = {}
for i, id in ipairs(cmsgpack.unpack(ARGV[2])) do
  local row = read_job(id, #FIELDS)
  local runs = row and call('LRANGE', runs_key(id), 0, -1) or {}
  for n = 1, #runs do
    runs[n] = cmsgpack.unpack(runs[n])
  end
  rows[i] = row and { row, call('LRANGE', log_key(id), 0, -1), runs } or {}
end
return cmsgpack.pack(rows)
