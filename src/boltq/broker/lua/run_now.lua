-- run_now: scheduled or retrying -> queued, before its time.
--   ARGV     now, msgpack of [id, since or 0]*
--   returns  msgpack of a word for each: queued, NOT_FOUND, CHANGED <state>, CONFLICT <state>
--@use claims
local verdicts = {}
for i, item in ipairs(cmsgpack.unpack(ARGV[2])) do
  local id = item[1]
  local job = call('HMGET', job_key(id), 'state', 'since', 'route')
  verdicts[i] = refusal(job[1], job[2], item[2])
  if verdicts[i] == nil and (job[1] == 'scheduled' or job[1] == 'retrying') then
    move(id, route_of(job[3]), job[1], 'queued', 'tail')
    verdicts[i] = 'queued'
  end
  verdicts[i] = verdicts[i] or 'CONFLICT ' .. job[1]
end
commit()
return cmsgpack.pack(verdicts)
