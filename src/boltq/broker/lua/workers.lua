#!lua flags=no-writes
-- workers: who is here, until when, and what it said of itself; a portion of them.
--   ARGV     now, cursor ('0' to begin)
--   returns  msgpack of [next cursor or '0', WorkerRow*];
--            state: stale (its lease has run out), draining, stopping or up. One may be there twice
--@use reading, clock, holds
local following, flat = unpack(call('ZSCAN', workers_key, ARGV[2], 'COUNT', 100))
local rows = {}
for i = 1, #flat, 2 do
  local id, ends = flat[i], tonumber(flat[i + 1])
  local info, queues, types, vitals, since, wish, held = unpack(
    call('HMGET', worker_key(id), 'info', 'queues', 'types', 'vitals', 'since', 'wish', 'holds')
  )
  rows[#rows + 1] = WorkerRow{
    id = id, lease_ends_at = ends, info = info or '', queues = queues or '', types = types or '', vitals = vitals or '',
    since = tonumber(since) or 0, state = ends < NOW and 'stale' or wish or 'up', holds = holds.read(held),
  }
end
return cmsgpack.pack({ following, rows })
