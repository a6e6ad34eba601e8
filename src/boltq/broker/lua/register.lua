#!lua flags=allow-oom
-- register: a worker tells what it is, which queues it serves and which job types it knows; its lease begins.
--   ARGV     now, worker, info (JSON), queues ("a b"), types (" x y " or "*"), lease in ms, msgpack of [type, JSON]*,
--            wish that it has heard before, or ''
--   refuses  CONFLICT when that worker is registered already
--@use queues, history, words
local worker, lease = ARGV[2], tonumber(ARGV[6])
if call('EXISTS', worker_key(worker)) == 1 then refuse('CONFLICT', worker) end
call('HSET', worker_key(worker), 'info', ARGV[3], 'queues', ARGV[4], 'types', ARGV[5], 'lease', lease, 'beat_at', NOW, 'since', NOW, 'holds', 0)
if ARGV[8] ~= '' then call('HSET', worker_key(worker), 'wish', ARGV[8]) end
call('ZADD', workers_key, NOW + lease, worker)
for queue in string.gmatch(ARGV[4], '%S+') do
  if may_begin(queue) then note_queue(queue) end -- or else it is served, and not listed
  call('HINCRBY', queue_key(queue), 'workers', 1)
end
local types, room = {}, MAX_TYPES - call('HLEN', types_key)
for _, pair in ipairs(cmsgpack.unpack(ARGV[7])) do
  local type, about = unpack(pair)
  if room > 0 or call('HEXISTS', types_key, type) == 1 then
    types[#types + 1], types[#types + 2] = type, about
    room = room - 1
  end
end
for i = 1, #types, 200 do
  call('HSET', types_key, unpack(types, i, math.min(#types, i + 199)))
end
-- What it publishes is stored once for all workers that publish the same, and goes with the last of them. Of one that
-- comes when there are very many, nobody knows it: its jobs are not checked by it.
local release = redis.sha1hex(ARGV[7])
if call('HEXISTS', releases_key, release) == 1 or call('HLEN', releases_key) < MAX_TYPES then
  call('HSET', releases_key, release, ARGV[7])
  call('HINCRBY', releases_key, '#' .. release, 1)
  call('HSET', worker_key(worker), 'release', release)
end
history.go_on(0)
return 1
