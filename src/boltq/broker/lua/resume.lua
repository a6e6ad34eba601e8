#!lua flags=allow-oom
-- resume: a paused queue is served again, and sleeping workers get its jobs.
--   ARGV     now, queue
--   returns  1 when that changed something
--@use claims
local changed = call('HDEL', queue_key(ARGV[2]), 'paused')
readied[ARGV[2]] = true
commit()
return changed
