#!lua flags=allow-oom
-- resume: a paused queue is served again, and sleeping workers get its jobs.
--   ARGV     now, queue
--   returns  1 when that changed something
--@use claims, finish
local changed = call('HDEL', queue_key(ARGV[2]), 'paused', 'paused_by', 'paused_reason', 'paused_at') > 0 and 1 or 0
readied[ARGV[2]], parked_now[ARGV[2]] = true, true
for _, state in ipairs({ 'scheduled', 'retrying' }) do -- who slept meanwhile has set no alarm for these
  local _, due = unpack(call('ZRANGE', index_key(ARGV[2], state), 0, 0, 'WITHSCORES'))
  if due then soonest[ARGV[2] .. ' ' .. state] = tonumber(due) end
end
finish()
return changed
