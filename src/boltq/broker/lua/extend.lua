#!lua flags=allow-oom
-- extend: a worker lives; its lease, which covers all that it holds, begins anew.
--   ARGV     now, worker, lease in ms, ms since its last beat by its own clock (0: unknown), vitals (JSON)
--   returns  msgpack of [ids to cancel, when the first other lease ends or 0, 1 when a sweep is due, now, wish]
--   refuses  UNKNOWN_WORKER: it was reaped, and holds nothing any more
--@use grace, words
local worker, lease, elapsed = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local known = call('HMGET', worker_key(worker), 'beat_at', 'wish')
if not known[1] then refuse('UNKNOWN_WORKER', worker) end

-- It could not beat for long, or the clock says so though it did: nobody could, or the clock jumped.
local by_server = NOW - tonumber(known[1])
if clock_was_set or elapsed > lease * 2 / 3 or (elapsed > 0 and by_server - elapsed > lease / 3) then
  grant_grace()
elseif leases_are_too_long() then
  grant_grace()
end

tell_missed(worker)
call('ZADD', workers_key, NOW + lease, worker)
call('HSET', worker_key(worker), 'beat_at', NOW, 'lease', lease, 'vitals', ARGV[5])

local cancels = call('SMEMBERS', cancels_key(worker))
for i = #cancels, 1, -1 do
  local job = call('HMGET', job_key(cancels[i]), 'state', 'worker', 'cancel')
  if job[1] ~= 'running' or job[2] ~= worker or not job[3] then
    call('SREM', cancels_key(worker), cancels[i])
    table.remove(cancels, i)
  end
end

local first = 0
local ends = call('ZRANGE', workers_key, 0, 1, 'WITHSCORES')
for i = 1, #ends, 2 do
  if ends[i] ~= worker and first == 0 then first = tonumber(ends[i + 1]) end
end
local swept = tonumber(call('HGET', partition_key, 'swept_at')) or 0
call('HSET', partition_key, 'clock', NOW)
return cmsgpack.pack({ cancels, first, (NOW < swept or NOW - swept > SWEEP_MS) and 1 or 0, NOW, known[2] or '' })
