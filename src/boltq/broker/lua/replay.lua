-- replay: dead or cancelled -> queued, with all its attempts before it again.
--   ARGV     now, msgpack of ids
--   returns  msgpack of a word for each: queued, NOT_FOUND, CONFLICT <state>
--@use claims
local verdicts = {}
for i, id in ipairs(cmsgpack.unpack(ARGV[2])) do
  local job = call('HMGET', job_key(id), 'state', 'route', 'ghost')
  if not job[1] then
    verdicts[i] = 'NOT_FOUND'
  elseif not (job[1] == 'dead' or job[1] == 'cancelled') then
    verdicts[i] = 'CONFLICT ' .. job[1]
  else
    local route = route_of(job[2])
    call('HDEL', job_key(id), 'error', 'reason', 'cancel', 'progress', 'ghost', 'lost', 'tries', 'expires', 'took')
    if job[3] then
      count_ghost(route.queue, job[3], -1)
      parked_now[route.queue] = parked_now[route.queue] or job[3] ~= route.list
    end
    move(id, route, job[1], 'queued', job[3] and 'ghost' or 'tail')
    tally(route.queue, 'replayed', 1)
    verdicts[i] = 'queued'
  end
end
commit()
return cmsgpack.pack(verdicts)
