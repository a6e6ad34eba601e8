#!lua flags=no-writes
-- flow_parents: the results of the steps that a job's step depends on, for a function that asks for them.
--   ARGV     now, job, how many bytes they may have together
--   returns  msgpack of [[id, result]*, bytes]: no results where there are more bytes, nothing for a job of no workflow
--   refuses  NOT_FOUND
--@use reading
local at = words(call('HGET', job_key(ARGV[2]), 'flow') or '')
if not at[1] then return cmsgpack.pack({ {}, 0 }) end

local steps_key, results_key = flow_key(at[1], 'steps'), flow_key(at[1], 'results')

local function info_of(n)
  local text = call('HGET', steps_key, n)
  if not text then refuse('NOT_FOUND', at[1]) end
  return cmsgpack.unpack(text)
end

local parents, bytes, rows = info_of(at[2])[3], 0, {}
for i = 1, #parents do
  bytes = bytes + call('HSTRLEN', results_key, parents[i])
end
for i = 1, #parents do
  local result = bytes <= tonumber(ARGV[3]) and call('HGET', results_key, parents[i])
  rows[i] = { info_of(parents[i])[1], result or '' }
end
return cmsgpack.pack({ rows, bytes })
