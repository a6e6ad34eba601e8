#!lua flags=allow-oom
-- register: a worker tells what it is, which queues it serves and which job types it knows; its lease begins.
--   ARGV     now, worker, info (JSON), queues ("a b"), types (" x y " or "*"), lease in ms, msgpack of [type, JSON]*,
--            wish that it has heard before, or ''
--   refuses  CONFLICT when that worker is registered already
--@use clock, words
local worker, lease = ARGV[2], tonumber(ARGV[6])
if call('EXISTS', worker_key(worker)) == 1 then refuse('CONFLICT', worker) end
call('HSET', worker_key(worker), 'info', ARGV[3], 'queues', ARGV[4], 'types', ARGV[5], 'lease', lease, 'beat_at', NOW, 'since', NOW)
if ARGV[8] ~= '' then call('HSET', worker_key(worker), 'wish', ARGV[8]) end
call('ZADD', workers_key, NOW + lease, worker)
for queue in string.gmatch(ARGV[4], '%S+') do
  call('SADD', queues_key, queue)
end
for _, type in ipairs(cmsgpack.unpack(ARGV[7])) do
  if call('HLEN', types_key) < MAX_TYPES then call('HSET', types_key, type[1], type[2]) end
end
-- What it publishes is stored once for all workers that publish the same, and goes with the last of them. Of one that
-- comes when there are very many, nobody knows it: its jobs are not checked by it.
local release = redis.sha1hex(ARGV[7])
if call('HEXISTS', rare_key('releases'), release) == 1 or call('HLEN', rare_key('releases')) < MAX_TYPES then
  call('HSET', rare_key('releases'), release, ARGV[7])
  call('HINCRBY', rare_key('releases'), '#' .. release, 1)
  call('HSET', worker_key(worker), 'release', release)
end
call('HSET', partition_key, 'clock', NOW)
return 1
