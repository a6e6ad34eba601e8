#!lua flags=allow-oom
-- limit: how many jobs may wait in a queue; 0 for no limit.
--   ARGV     now, queue, number
--   returns  1 when the queue had no limit of its own
--   refuses  QUEUES: it is new, and there are as many as there may be
--@use queues
meet(ARGV[2])
return call('HSET', queue_key(ARGV[2]), 'limit', tonumber(ARGV[3]))
