#!lua flags=allow-oom
-- op_take: the next jobs of a bulk operation, for the only one that runs it.
--   ARGV     now, operation, owner, lease in ms, how many at most, seconds kept
--   returns  msgpack of [word, ms to wait, how many are done, "id since"*]; words: go; wait (it goes no faster);
--            busy (another runs it); or the state in which it is not run
--   refuses  NOT_FOUND
--@use clock, words
local id, owner, lease, most = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local key = op_key(id)
local state, done, runner, lease_ends, canary, went_on, rate, next_at = unpack(
  call('HMGET', key, 'state', 'done', 'owner', 'lease', 'canary', 'went_on', 'rate', 'next_at')
)
if not state then refuse('NOT_FOUND', 'no operation ' .. id) end
done, rate, canary = tonumber(done), tonumber(rate) or 0, tonumber(canary) or 0
local until_lease = (tonumber(lease_ends) or 0) - NOW

local function answer(word, ms, items) return cmsgpack.pack({ word, math.ceil(ms), done, items or {} }) end

if state ~= 'running' then return answer(state, 0) end
-- A lease that ends later than any can: the clock was set back. Should both go on, `done` lets only one count.
if runner and runner ~= owner and until_lease > 0 and until_lease <= lease then return answer('busy', until_lease) end
call('HSET', key, 'owner', owner, 'lease', NOW + lease)
call('EXPIRE', key, ARGV[6])
call('EXPIRE', op_items_key(id), ARGV[6])

if rate > 0 then
  local wait = math.min((tonumber(next_at) or 0) - NOW, math.max(1000, 1000 / rate))
  if wait > 0 then return answer('wait', wait) end
  most = math.min(most, math.max(1, math.floor(rate)))
end
if canary > 0 and not went_on then most = math.min(most, canary - done) end
local items = call('LRANGE', op_items_key(id), done, done + most - 1)
if #items == 0 then -- somebody has deleted them
  call('HSET', key, 'state', 'failed', 'finished_at', NOW)
  return answer('failed', 0)
end
return answer('go', 0, items)
