#!lua flags=allow-oom
-- op_record: what became of the jobs that were taken. It may end the operation, or its canary.
--   ARGV     now, operation, owner, how many were done before, msgpack of [ok, failed, skipped],
--            msgpack of [id, code, message]* of the failed, how many of those are kept
--   returns  its state
--   refuses  NOT_FOUND; LEASE_LOST when another has gone on meanwhile
--@use clock, words
local id, key = ARGV[2], op_key(ARGV[2])
local state, total, done, owner, canary, went_on, rate, stop_after, errors = unpack(
  call('HMGET', key, 'state', 'total', 'done', 'owner', 'canary', 'went_on', 'rate', 'stop_after', 'errors')
)
if not state then refuse('NOT_FOUND', 'no operation ' .. id) end
if owner ~= ARGV[3] or done ~= ARGV[4] then refuse('LEASE_LOST', 'another runs ' .. id) end

local ok, bad, skipped = unpack(cmsgpack.unpack(ARGV[5]))
local n = ok + bad + skipped
done = call('HINCRBY', key, 'done', n)
call('HINCRBY', key, 'ok', ok)
local failed = call('HINCRBY', key, 'failed', bad)
call('HINCRBY', key, 'skipped', skipped)
errors = errors and cmsgpack.unpack(errors) or {}
for _, error in ipairs(cmsgpack.unpack(ARGV[6])) do
  if #errors < tonumber(ARGV[7]) then errors[#errors + 1] = error end
end
if #errors > 0 then call('HSET', key, 'errors', cmsgpack.pack(errors)) end

rate, canary, stop_after = tonumber(rate) or 0, tonumber(canary) or 0, tonumber(stop_after) or 0
if rate > 0 then call('HSET', key, 'next_at', NOW + math.ceil(n * 1000 / rate)) end
if done >= tonumber(total) then
  state = state == 'running' and 'done' or state
elseif state == 'running' and stop_after > 0 and failed >= stop_after then
  state = 'stopped'
elseif state == 'running' and canary > 0 and not went_on and done >= canary then
  state = 'canary'
end
if state ~= 'running' then
  call('HSET', key, 'state', state)
  call('HDEL', key, 'owner', 'lease')
end
if state == 'done' or state == 'stopped' then
  call('HSET', key, 'finished_at', NOW)
  call('UNLINK', op_items_key(id))
end
return state
