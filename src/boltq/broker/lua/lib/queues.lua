--@use reading, clock
-- The queues that there are. Their number is bounded, and one that has been empty for a while is forgotten.
local met -- queue -> whether it is known, and 'new' when this call has let it in
local let_in -- how many queues this call has let in

local function begin_queues()
  met, let_in = {}, 0
end

-- Returns true if a queue may be used: it is known, or there is room for one more.
local function may_begin(queue)
  if met[queue] == nil then met[queue] = call('ZSCORE', queues_key, queue) and true or false end
  if met[queue] then return true end
  local most = tonumber(stored.max_queues)
  if most > 0 and call('ZCARD', queues_key) + let_in >= most then return false end
  met[queue], let_in = 'new', let_in + 1
  return true
end

local function note_queue(queue)
  if met[queue] == true then return end
  call('ZADD', queues_key, 0, queue)
  met[queue] = true
end

-- Makes a queue known, for what people do to a queue that nobody has used yet.
local function meet(queue)
  if not may_begin(queue) then refuse('QUEUES', queue) end
  note_queue(queue)
end

local FORGET_MS = 3600000

-- Forgets a queue that has no job, setting or worker, if it was found so an hour ago and has done nothing since.
local function forget_if_empty(queue)
  local here = call(
    'EXISTS', ready_key(queue, 2), ready_key(queue, 1), ready_key(queue, 0), parked_key(queue),
    index_key(queue, 'running'), index_key(queue, 'completed'), index_key(queue, 'scheduled'), index_key(queue, 'retrying'),
    index_key(queue, 'blocked'), index_key(queue, 'dead'), index_key(queue, 'cancelled')
  )
  local empty, paused, limit, workers, completed, dead, cancelled = unpack(
    call('HMGET', queue_key(queue), 'empty', 'paused', 'limit', 'workers', 'completed', 'dead', 'cancelled')
  )
  if here > 0 or paused or (tonumber(limit) or 0) > 0 or (tonumber(workers) or 0) > 0 then
    if empty then call('HDEL', queue_key(queue), 'empty') end
    return
  end
  local ever = (completed or 0) .. ' ' .. (dead or 0) .. ' ' .. (cancelled or 0)
  local since, was = string.match(empty or '', '^(%d+) (.+)$')
  if was ~= ever or NOW < tonumber(since) then
    call('HSET', queue_key(queue), 'empty', NOW .. ' ' .. ever)
  elseif NOW - since >= FORGET_MS then
    call('UNLINK', queue_key(queue), idle_key(queue))
    call('ZREM', queues_key, queue)
  end
end
