-- run_now: scheduled or retrying -> queued, before its time.
--   ARGV     now, msgpack of ids
--   returns  msgpack of a word for each: queued, NOT_FOUND, CONFLICT <state>
--@use claims
local verdicts = {}
for i, id in ipairs(cmsgpack.unpack(ARGV[2])) do
  local job = call('HMGET', job_key(id), 'state', 'route')
  if not job[1] then
    verdicts[i] = 'NOT_FOUND'
  elseif job[1] == 'scheduled' or job[1] == 'retrying' then
    move(id, route_of(job[2]), job[1], 'queued', 'tail')
    verdicts[i] = 'queued'
  else
    verdicts[i] = 'CONFLICT ' .. job[1]
  end
end
commit()
return cmsgpack.pack(verdicts)
