#!lua flags=no-writes
-- workers: who is here, until when, and what it said of itself; and the job types that workers have published.
--   ARGV     now
--   returns  msgpack of [[worker, lease ends, info, queues, types, vitals, since, state]*, [type, JSON]*];
--            state: stale (its lease has run out), draining, stopping or up
--@use reading, clock
local rows = {}
local ends = call('ZRANGE', workers_key, 0, 999, 'WITHSCORES')
for i = 1, #ends, 2 do
  local f = call('HMGET', worker_key(ends[i]), 'info', 'queues', 'types', 'vitals', 'since', 'wish')
  rows[#rows + 1] = {
    ends[i], tonumber(ends[i + 1]), f[1] or '', f[2] or '', f[3] or '', f[4] or '', tonumber(f[5]) or 0,
    tonumber(ends[i + 1]) < NOW and 'stale' or f[6] or 'up',
  }
end
local types, flat = {}, call('HGETALL', types_key)
for i = 1, #flat, 2 do
  types[#types + 1] = { flat[i], flat[i + 1] }
end
return cmsgpack.pack({ rows, types })
