#!lua flags=no-writes
-- flow_parents: the results of the steps that a job's step depends on, for a function that asks for them.
--   ARGV     now, job, how many bytes they may have together
--   returns  msgpack of [[id, result]*, bytes]: no results where there are more bytes, nothing for a job of no workflow
--   refuses  NOT_FOUND
--@use reading
local job, most = ARGV[2], tonumber(ARGV[3])
local id, own = unpack(words(call('HGET', job_key(job), 'flow') or ''))
if not id then return cmsgpack.pack({ {}, 0 }) end

local steps_key, results_key = flow_key(id, 'steps'), flow_key(id, 'results')

local function info_of(n)
  local text = call('HGET', steps_key, n)
  if not text then refuse('NOT_FOUND', id) end
  return cmsgpack.unpack(text)
end

local parents, bytes, rows = info_of(own)[StepInfoRow.parents], 0, {}
for i = 1, #parents do
  bytes = bytes + call('HSTRLEN', results_key, parents[i])
end
for i = 1, #parents do
  local result = bytes <= most and call('HGET', results_key, parents[i])
  rows[i] = { info_of(parents[i])[StepInfoRow.id], result or '' }
end
return cmsgpack.pack({ rows, bytes })
