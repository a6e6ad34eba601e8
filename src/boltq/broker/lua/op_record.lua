#!lua flags=allow-oom
-- op_record: what became of the jobs that were taken. It may end the operation, or its canary.
--   ARGV     now, operation, owner, how many were done before, msgpack of [ok, failed, skipped],
--            msgpack of [id, code, message]* of the failed, how many of those are kept
--   returns  its state
--   refuses  NOT_FOUND; LEASE_LOST when another has gone on meanwhile
--@use clock, words
local id, key = ARGV[2], op_key(ARGV[2])
local op = call('HMGET', key, 'state', 'total', 'done', 'owner', 'canary', 'went_on', 'rate', 'stop_after', 'errors')
if not op[1] then refuse('NOT_FOUND', 'no operation ' .. id) end
if op[4] ~= ARGV[3] or op[3] ~= ARGV[4] then refuse('LEASE_LOST', 'another runs ' .. id) end

local counts, errors = cmsgpack.unpack(ARGV[5]), op[9] and cmsgpack.unpack(op[9]) or {}
local n = counts[1] + counts[2] + counts[3]
local done = call('HINCRBY', key, 'done', n)
call('HINCRBY', key, 'ok', counts[1])
local failed = call('HINCRBY', key, 'failed', counts[2])
call('HINCRBY', key, 'skipped', counts[3])
for _, error in ipairs(cmsgpack.unpack(ARGV[6])) do
  if #errors < tonumber(ARGV[7]) then errors[#errors + 1] = error end
end
if #errors > 0 then call('HSET', key, 'errors', cmsgpack.pack(errors)) end

local state, rate, canary, stop_after = op[1], tonumber(op[7]) or 0, tonumber(op[5]) or 0, tonumber(op[8]) or 0
if rate > 0 then call('HSET', key, 'next_at', NOW + math.ceil(n * 1000 / rate)) end
if done >= tonumber(op[2]) then
  state = state == 'running' and 'done' or state
elseif state == 'running' and stop_after > 0 and failed >= stop_after then
  state = 'stopped'
elseif state == 'running' and canary > 0 and not op[6] and done >= canary then
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
