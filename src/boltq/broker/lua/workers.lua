#!lua flags=no-writes
-- workers: who is here, until when, and what it said of itself; a portion of them.
--   ARGV     now, cursor ('0' to begin)
--   returns  msgpack of [next cursor or '0', [worker, lease ends, info, queues, types, vitals, since, state, how
--            many jobs it has as the store sees it]*];
--            state: stale (its lease has run out), draining, stopping or up. One may be there twice
--@use reading, clock, holds
local rows, page = {}, call('ZSCAN', workers_key, ARGV[2], 'COUNT', 100)
for i = 1, #page[2], 2 do
  local id, ends = page[2][i], tonumber(page[2][i + 1])
  local f = call('HMGET', worker_key(id), 'info', 'queues', 'types', 'vitals', 'since', 'wish', 'holds')
  rows[#rows + 1] = {
    id, ends, f[1] or '', f[2] or '', f[3] or '', f[4] or '', tonumber(f[5]) or 0, ends < NOW and 'stale' or f[6] or 'up',
    holds.read(f[7]),
  }
end
return cmsgpack.pack({ page[1], rows })
