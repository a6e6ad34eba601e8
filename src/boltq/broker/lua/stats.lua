#!lua flags=no-writes
-- stats: queues of this partition: how many jobs stand where.
--   ARGV     now, msgpack of names, or of none: those behind the next, in their order; that name ('' to begin), how many
--   returns  msgpack of [the name behind which to go on or '', QueueRow*]; of names that are no queues nothing
--@use reading
local names, after, most = cmsgpack.unpack(ARGV[2]), ARGV[3], tonumber(ARGV[4])

local function oldest(queue, waiting)
  local since = 0
  for priority = 0, 2 do
    local id = waiting[priority] > 0 and call('LINDEX', list_key(queue, ready_name(priority)), 0)
    local at = id and tonumber(call('HGET', job_key(id), 'since'))
    if at and (since == 0 or at < since) then since = at end
  end
  return since
end

-- How many jobs wait in one class: its list without the ghosts in it.
local function waiting_at(queue, priority, ghosts) return call('LLEN', ready_key(queue, priority)) - (tonumber(ghosts) or 0) end

local function row(queue)
  local paused, paused_by, paused_reason, paused_at, limit, parked, completed, dead, cancelled, low, normal, high = unpack(call(
    'HMGET', queue_key(queue), 'paused', 'paused_by', 'paused_reason', 'paused_at', 'limit', 'parked', 'completed', 'dead',
    'cancelled', 'ghosts:ready:0', 'ghosts:ready:1', 'ghosts:ready:2'
  ))
  low, normal, high = waiting_at(queue, 0, low), waiting_at(queue, 1, normal), waiting_at(queue, 2, high)
  return QueueRow{
    name = queue, limit = tonumber(limit) or 0,
    paused = paused == '1' and 1 or 0, paused_by = paused_by or '', paused_reason = paused_reason or '',
    paused_at = tonumber(paused_at) or 0,
    high = high, normal = normal, low = low, parked = math.max(0, tonumber(parked) or 0),
    oldest_queued_at = oldest(queue, { [0] = low, normal, high }),
    running = call('SCARD', index_key(queue, 'running')), blocked = call('ZCARD', index_key(queue, 'blocked')),
    scheduled = call('ZCARD', index_key(queue, 'scheduled')), retrying = call('ZCARD', index_key(queue, 'retrying')),
    completed = call('LLEN', index_key(queue, 'completed')), dead = call('ZCARD', index_key(queue, 'dead')),
    cancelled = call('ZCARD', index_key(queue, 'cancelled')), completed_total = tonumber(completed) or 0,
    dead_total = tonumber(dead) or 0, cancelled_total = tonumber(cancelled) or 0,
  }
end

local queues = names
if #names == 0 then
  queues = call('ZRANGE', queues_key, after == '' and '-' or '(' .. after, '+', 'BYLEX', 'LIMIT', 0, most)
end
local rows = {}
for _, queue in ipairs(queues) do
  if queues ~= names or call('ZSCORE', queues_key, queue) then rows[#rows + 1] = row(queue) end
end
return cmsgpack.pack({ queues ~= names and #queues == most and queues[most] or '', rows })
