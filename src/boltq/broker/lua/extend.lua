#!lua flags=allow-oom
-- extend: a worker lives; its lease, which covers all that it holds, begins anew.
--   ARGV     now, worker, lease in ms, ms since its last beat by its own clock (0: it is the first), vitals (JSON),
--            msgpack of [id, delivery]* that it has had since its last beat at least: a sample
--   returns  msgpack of [ids to cancel, when the first other lease ends or 0, 1 when a sweep is due, now, wish, how many
--            jobs it has, [seq, era, alarmed], those of the sample that are not its own]
--   refuses  UNKNOWN_WORKER: it was reaped, and holds nothing any more
--@use grace, history, holds, words
local worker, lease, elapsed = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local beat_at, wish, since, held = unpack(call('HMGET', worker_key(worker), 'beat_at', 'wish', 'since', 'holds'))
if not beat_at then refuse('UNKNOWN_WORKER', worker) end

-- Nobody was heard for long, not even who beats now: nobody could, or the clock jumped (a jump shows earlier, by its clock).
local silence = grace.silence(since)
local jumped = elapsed > 0 and NOW - beat_at - elapsed > lease / 3
if clock_was_set or grace.is_too_long() then
  grace.begin_anew()
elseif silence > lease * 2 / 3 or (jumped and silence > lease * 2 / 5) then
  grace.grant()
end

grace.tell_missed(worker)
call('ZADD', workers_key, NOW + lease, worker)
call('HSET', worker_key(worker), 'beat_at', NOW, 'lease', lease, 'vitals', ARGV[5], 'graces', 0)
-- The first beat of one that has just come is no sign that others could have beaten before.
if elapsed > 0 then call('HSET', partition_key, 'heard', NOW) end

local cancels = call('SMEMBERS', cancels_key(worker))
for i = #cancels, 1, -1 do
  local state, runner, cancel = unpack(call('HMGET', job_key(cancels[i]), 'state', 'worker', 'cancel'))
  if state ~= 'running' or runner ~= worker or not cancel then
    call('SREM', cancels_key(worker), cancels[i])
    table.remove(cancels, i)
  end
end

local first = 0
local ends = call('ZRANGE', workers_key, 0, 1, 'WITHSCORES')
for i = 1, #ends, 2 do
  if ends[i] ~= worker and first == 0 then first = tonumber(ends[i + 1]) end
end
-- A worker may have as many jobs as the store believes, but other ones: which of these runs are not its own?
local strange = {}
for _, run in ipairs(cmsgpack.unpack(ARGV[6])) do
  local id, delivery = unpack(run)
  local state, runner, n = unpack(call('HMGET', job_key(id), 'state', 'worker', 'n'))
  if state ~= 'running' or runner ~= worker or tonumber(n) ~= delivery then strange[#strange + 1] = run end
end
local swept = tonumber(call('HGET', partition_key, 'swept_at')) or 0
history.go_on(0)
local sweep_due = (NOW < swept or NOW - swept > SWEEP_MS) and 1 or 0
return cmsgpack.pack({ cancels, first, sweep_due, NOW, wish or '', holds.read(held), history.mark(), strange })
