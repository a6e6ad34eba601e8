--@use clock, mail
-- After a time in which nobody could beat, no lease can be trusted to have run out: each gets a full one again.
local function grant_grace()
  local ids = call('ZRANGE', workers_key, 0, -1, 'WITHSCORES')
  for i = 1, #ids, 2 do
    local known = call('HMGET', worker_key(ids[i]), 'lease', 'idle')
    call('ZADD', workers_key, 'XX', NOW + (tonumber(known[1]) or 15000), ids[i])
    call('HSET', worker_key(ids[i]), 'beat_at', NOW)
    if known[2] and tonumber(ids[i + 1]) < NOW then post(ids[i], { 'look' }) end -- it was passed over meanwhile
  end
end

-- A lease that ends later than a full one from now was given before the clock was set back.
local function leases_are_too_long()
  local last = call('ZRANGE', workers_key, -1, -1, 'WITHSCORES')
  if not last[1] then return false end
  return tonumber(last[2]) > NOW + (tonumber(call('HGET', worker_key(last[1]), 'lease')) or 15000)
end

-- The server's own name for this run of it; a new one means that it was down.
local function run_id() return string.match(call('INFO', 'server'), 'run_id:(%x+)') or '' end
