-- op_start: a bulk operation begins; until now it was only a list that expires. May be repeated.
--   ARGV     now, operation, how many jobs it has, msgpack of field, text, ..., how many operations are known at most,
--            seconds kept
--   returns  its state
--   refuses  CONFLICT when its jobs are not all there, or too many operations are known
--@use clock, words
local id, total = ARGV[2], tonumber(ARGV[3])
local there = call('HGET', op_key(id), 'state')
if there then return there end
if call('LLEN', op_items_key(id)) ~= total then refuse('CONFLICT', 'not all jobs of ' .. id .. ' are there') end

local function forget_old(most)
  for _, old in ipairs(call('ZRANGE', ops_key, 0, 49)) do
    local state = call('HGET', op_key(old), 'state')
    local over = call('ZCARD', ops_key) >= most and state ~= 'running' and state ~= 'canary'
    if not state or over then
      call('UNLINK', op_key(old), op_items_key(old))
      call('ZREM', ops_key, old)
    end
  end
  if call('ZCARD', ops_key) >= most then refuse('CONFLICT', most .. ' operations are on their way') end
end

forget_old(tonumber(ARGV[5]))
local state = total > 0 and 'running' or 'done'
call('HSET', op_key(id), 'state', state, 'total', total, 'done', 0, 'started_at', NOW, unpack(cmsgpack.unpack(ARGV[4])))
if total == 0 then call('HSET', op_key(id), 'finished_at', NOW) end
call('ZADD', ops_key, NOW, id)
call('EXPIRE', op_key(id), ARGV[6])
call('EXPIRE', op_items_key(id), ARGV[6])
return state
