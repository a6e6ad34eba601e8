#!lua flags=allow-oom
-- pause: nothing of this queue is claimed until it is resumed; what runs goes on.
--   ARGV     now, queue
--   returns  1 when that changed something
--@use clock
call('SADD', queues_key, ARGV[2])
return call('HSET', queue_key(ARGV[2]), 'paused', 1)
