#!lua flags=allow-oom
-- pause: nothing of this queue is claimed until it is resumed; what runs goes on.
--   ARGV     now, queue, who, why
--   returns  1 when that changed something
--   refuses  QUEUES: it is new, and there are as many as there may be
--@use queues
meet(ARGV[2])
call('HSET', queue_key(ARGV[2]), 'paused_by', ARGV[3], 'paused_reason', ARGV[4], 'paused_at', NOW)
return call('HSET', queue_key(ARGV[2]), 'paused', 1)
