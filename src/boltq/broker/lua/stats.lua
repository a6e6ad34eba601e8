#!lua flags=no-writes
-- stats: the queues of this partition: how many jobs stand where.
--   ARGV     now
--   returns  msgpack of [queue, paused, limit, high, normal, low, parked, running, scheduled, retrying, completed,
--            dead, cancelled, completed ever, dead ever, cancelled ever, oldest queued since, who paused it, why,
--            when or 0, blocked]*
--@use reading
local rows = {}

local function oldest(queue)
  local since = 0
  for priority = 0, 2 do
    local id = call('LINDEX', list_key(queue, ready_name(priority)), 0)
    local at = id and tonumber(call('HGET', job_key(id), 'since'))
    if at and (since == 0 or at < since) then since = at end
  end
  return since
end

local queues = call('SMEMBERS', queues_key)
table.sort(queues)
for _, queue in ipairs(queues) do
  local set = call('HMGET', queue_key(queue), 'paused', 'limit', 'completed', 'dead', 'cancelled', 'paused_by', 'paused_reason', 'paused_at')
  local parked = 0
  for _, type in ipairs(call('SMEMBERS', parked_key(queue))) do
    parked = parked + waiting_in(queue, parked_name(type))
  end
  rows[#rows + 1] = {
    queue, set[1] == '1' and 1 or 0, tonumber(set[2]) or 0,
    waiting_in(queue, ready_name(2)), waiting_in(queue, ready_name(1)), waiting_in(queue, ready_name(0)), parked,
    call('SCARD', index_key(queue, 'running')),
    call('ZCARD', index_key(queue, 'scheduled')), call('ZCARD', index_key(queue, 'retrying')),
    call('LLEN', index_key(queue, 'completed')),
    call('ZCARD', index_key(queue, 'dead')), call('ZCARD', index_key(queue, 'cancelled')),
    tonumber(set[3]) or 0, tonumber(set[4]) or 0, tonumber(set[5]) or 0, oldest(queue),
    set[6] or '', set[7] or '', tonumber(set[8]) or 0, call('ZCARD', index_key(queue, 'blocked')),
  }
end
return cmsgpack.pack(rows)
