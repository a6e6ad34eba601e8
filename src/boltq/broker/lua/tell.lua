#!lua flags=allow-oom
-- tell: a worker shall drain (claim nothing more), stop (drain, and end), or work again. It hears of it by mail and at
-- each beat; meanwhile nothing is handed to it.
--   ARGV     now, worker, wish: draining, stopping, or '' to work again
--   returns  1 when that changed something
--   refuses  NOT_FOUND; CONFLICT: it is stopping, and cannot be called back
--@use claims
local wish = ARGV[3]
local worker = living(ARGV[2])
if not worker then refuse('NOT_FOUND', ARGV[2]) end
local before = worker.wish or ''
if before == 'stopping' and wish ~= before then refuse('CONFLICT', 'worker ' .. worker.id .. ' is stopping') end
if wish == '' then
  call('HDEL', worker_key(worker.id), 'wish')
else
  call('HSET', worker_key(worker.id), 'wish', wish)
end
awake(worker)
for i = 1, #worker.queues do
  call('SREM', idle_key(worker.queues[i]), worker.id)
end
commit()
post(worker.id, { 'wish', wish, NOW })
return before == wish and 0 or 1
