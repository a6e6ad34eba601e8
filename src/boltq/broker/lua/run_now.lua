-- run_now: scheduled or retrying -> queued, before its time.
--   ARGV     now, msgpack of [id, since or 0]*
--   returns  msgpack of a word for each: queued, NOT_FOUND, CHANGED <state>, CONFLICT <state>
--@use finish
local verdicts = {}
for i, item in ipairs(cmsgpack.unpack(ARGV[2])) do
  local id, wanted = unpack(item)
  local state, since, route = unpack(call('HMGET', job_key(id), 'state', 'since', 'route'))
  verdicts[i] = refusal(state, since, wanted)
  if verdicts[i] == nil and (state == 'scheduled' or state == 'retrying') then
    move(id, route_of(route), state, 'queued', 'tail')
    verdicts[i] = 'queued'
  end
  verdicts[i] = verdicts[i] or 'CONFLICT ' .. state
end
finish()
return cmsgpack.pack(verdicts)
