#!lua flags=no-writes
-- stats: queues of this partition: how many jobs stand where.
--   ARGV     now, msgpack of names, or of none: those behind the next, in their order; that name ('' to begin), how many
--   returns  msgpack of [the name behind which to go on or '', [queue, paused, limit, high, normal, low, parked, running,
--            scheduled, retrying, completed, dead, cancelled, completed ever, dead ever, cancelled ever, oldest queued
--            since, who paused it, why, when or 0, blocked]*]; of names that are no queues nothing
--@use reading
local rows, names, after, most = {}, cmsgpack.unpack(ARGV[2]), ARGV[3], tonumber(ARGV[4])

local function oldest(queue, waiting)
  local since = 0
  for priority = 0, 2 do
    local id = waiting[priority] > 0 and call('LINDEX', list_key(queue, ready_name(priority)), 0)
    local at = id and tonumber(call('HGET', job_key(id), 'since'))
    if at and (since == 0 or at < since) then since = at end
  end
  return since
end

local function row(queue)
  local set = call(
    'HMGET', queue_key(queue), 'paused', 'limit', 'completed', 'dead', 'cancelled', 'paused_by', 'paused_reason', 'paused_at',
    'parked', 'ghosts:ready:0', 'ghosts:ready:1', 'ghosts:ready:2'
  )
  local waiting = {}
  for priority = 0, 2 do
    waiting[priority] = call('LLEN', ready_key(queue, priority)) - (tonumber(set[10 + priority]) or 0)
  end
  return {
    queue, set[1] == '1' and 1 or 0, tonumber(set[2]) or 0,
    waiting[2], waiting[1], waiting[0], math.max(0, tonumber(set[9]) or 0),
    call('SCARD', index_key(queue, 'running')),
    call('ZCARD', index_key(queue, 'scheduled')), call('ZCARD', index_key(queue, 'retrying')),
    call('LLEN', index_key(queue, 'completed')),
    call('ZCARD', index_key(queue, 'dead')), call('ZCARD', index_key(queue, 'cancelled')),
    tonumber(set[3]) or 0, tonumber(set[4]) or 0, tonumber(set[5]) or 0, oldest(queue, waiting),
    set[6] or '', set[7] or '', tonumber(set[8]) or 0, call('ZCARD', index_key(queue, 'blocked')),
  }
end

if #names > 0 then
  for _, queue in ipairs(names) do
    if call('ZSCORE', queues_key, queue) then rows[#rows + 1] = row(queue) end
  end
  return cmsgpack.pack({ '', rows })
end
local from = after == '' and '-' or '(' .. after
for _, queue in ipairs(call('ZRANGE', queues_key, from, '+', 'BYLEX', 'LIMIT', 0, most)) do
  rows[#rows + 1] = row(queue)
end
return cmsgpack.pack({ #rows == most and rows[#rows][1] or '', rows })
