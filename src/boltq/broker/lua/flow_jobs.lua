#!lua flags=no-writes
-- flow_jobs: the jobs of a workflow, step after step, those of a map's items behind the map's own.
--   ARGV     now, id, number of the step to begin with, how many of its jobs were listed before, how many jobs
--   returns  msgpack of [step to go on with or 0, how many of its jobs are listed, row*]
--   refuses  NOT_FOUND
--@use reading
local id, n, i, most = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
if call('EXISTS', flow_key(id)) == 0 then refuse('NOT_FOUND', id) end
local steps_key, rows, seen = flow_key(id, 'jobs'), {}, 0
local steps = call('HLEN', steps_key)

local function list(job)
  seen = seen + 1
  rows[#rows + 1] = job and read_job(job, JobRow.spec) or nil
end

while n <= steps do
  local jobs_key = flow_key(id, 'map:' .. n .. ':jobs')
  if i == 0 then list(call('HGET', steps_key, n)) end
  i = math.max(i, 1)
  local own = 1 + call('HLEN', jobs_key)
  while i < own and seen < most do
    list(call('HGET', jobs_key, i))
    i = i + 1
  end
  if i < own then return cmsgpack.pack({ n, i, rows }) end
  n, i = n + 1, 0
  if seen >= most then return cmsgpack.pack({ n <= steps and n or 0, 0, rows }) end
end
return cmsgpack.pack({ 0, 0, rows })
