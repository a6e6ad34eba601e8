#!lua flags=allow-oom
-- reap: running -> queued, or dead (poison): what workers hold whose lease ran out, and what no living worker holds.
--   ARGV     now, worker that asks
--   returns  msgpack of [jobs taken back, 1 when there is more to look at, when to come again or 0]
--@use losses, claims, grace, prune, flow_go_on, queues, finish
local MOST_WORKERS, MOST_SCANNED, MOST_TAKEN, MOST_QUEUES, MOST_PRUNED_HERE = 20, 1000, 250, 50, 1000
local FRESH_MS = 2000 -- one that has just come may be first after a stop of the server: the others get a moment

local function answer(taken, more, again)
  flow.carry_on()
  finish()
  return cmsgpack.pack({ taken, more, again })
end

local was, sweep = unpack(call('HMGET', partition_key, 'run_id', 'sweep'))
local here = run_id()
if was ~= here then
  call('HSET', partition_key, 'run_id', here)
  if was then
    grace.grant()
    return answer(0, 0, NOW + 1000)
  end
end
local since, lease = unpack(call('HMGET', worker_key(ARGV[2]), 'since', 'lease'))
since = tonumber(since)
if since and NOW >= since and NOW - since < FRESH_MS then return answer(0, 0, since + FRESH_MS) end

-- The worker that asks has beaten a moment ago: if nobody was heard for long even so, the clock jumped in between, or
-- nobody could beat. If others were heard, and its own lease is over, it alone was held up, and judges nobody.
local own = tonumber(call('ZSCORE', workers_key, ARGV[2]))
local silent = own and grace.silence(since) > (tonumber(lease) or LEASE_MS) * 2 / 3
local was_set = clock_was_set or grace.is_too_long()
if was_set then
  grace.begin_anew()
elseif silent then
  grace.grant()
end
if was_set or silent or (own and own < NOW) then return answer(0, 0, NOW + 1000) end

local gone = call('ZRANGE', workers_key, '-inf', '(' .. NOW, 'BYSCORE', 'LIMIT', 0, MOST_WORKERS)
for i = 1, #gone do
  forget_worker(gone[i])
end

-- The sweep: every queue's running jobs, a few queues and a stretch a call, in the order of their names. It begins anew
-- whenever a worker has gone.
local at, cursor = string.match(sweep or '', '^(%S+) (%S+)$')
if #gone > 0 or not at then
  at, cursor = nil, '0'
end
local queues = call('ZRANGE', queues_key, at and '[' .. at or '-', '+', 'BYLEX', 'LIMIT', 0, MOST_QUEUES + 1)

local alive = {}
local function is_lost(worker)
  if not worker then return true end
  if alive[worker] == nil then alive[worker] = call('ZSCORE', workers_key, worker) and true or false end
  return not alive[worker]
end

local taken, scanned, pruned = 0, 0, 0

-- Sweeps a queue from a cursor on. Answers the next cursor, '0' at the queue's end.
local function sweep(queue, from)
  repeat
    local lost, looked
    from, lost, looked = scan_running(queue, from, is_lost, take_back)
    taken, scanned = taken + lost, scanned + looked
  until from == '0' or scanned >= MOST_SCANNED or taken >= MOST_TAKEN
  if from ~= '0' then return from end
  pruned = pruned + prune(queue, 'completed') + prune(queue, 'dead') + prune(queue, 'cancelled')
  flush()
  forget_if_empty(queue)
  return '0'
end

local next_queue, next_cursor = nil, '0'
for i, queue in ipairs(queues) do
  if i > MOST_QUEUES or scanned >= MOST_SCANNED or taken >= MOST_TAKEN or pruned >= MOST_PRUNED_HERE then
    next_queue = queue
    break
  end
  next_cursor = sweep(queue, queue == at and cursor or '0')
  if next_cursor ~= '0' then
    next_queue = queue
    break
  end
end
if next_queue then
  call('HSET', partition_key, 'sweep', next_queue .. ' ' .. next_cursor)
else
  call('HDEL', partition_key, 'sweep')
  call('HSET', partition_key, 'swept_at', NOW)
end
return answer(taken, (next_queue or #gone == MOST_WORKERS) and 1 or 0, 0)
