#!lua flags=no-writes
-- get: jobs as they stand, with payload, result, log lines and past runs.
--   ARGV     now, msgpack of ids
--   returns  msgpack of a WholeJobRow for each, or [] for an id that is not there; a place is [workflow, step, item or 0],
--            or [] without one. Those that are too much for one call are left out at the end: ask again for them
--@use reading
local function place_of(text)
  local workflow, n, item = unpack(words(text))
  local info = n and call('HGET', flow_key(workflow, 'steps'), n)
  return info and { workflow, cmsgpack.unpack(info)[StepInfoRow.id], tonumber(item) or 0 } or {}
end

local function size_of(texts, from)
  local size = 0
  for i = from, #texts do
    size = size + #texts[i]
  end
  return size
end

local rows, left = {}, MAX_CALL_BYTES
for i, id in ipairs(cmsgpack.unpack(ARGV[2])) do
  local row = read_job(id)
  local runs = row and call('LRANGE', runs_key(id), 0, -1) or {}
  local lines = row and call('LRANGE', log_key(id), 0, -1) or {}
  if row then left = left - size_of(row, JobRow.state) - size_of(runs, 1) - size_of(lines, 1) end
  for n = 1, #runs do
    runs[n] = cmsgpack.unpack(runs[n])
  end
  rows[i] = row and WholeJobRow{ job = row, log = lines, runs = runs, place = place_of(row[JobRow.flow]) } or {}
  if left <= 0 then break end
end
return cmsgpack.pack(rows)
