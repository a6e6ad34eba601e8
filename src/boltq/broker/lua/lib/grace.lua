--@use clock, mail
-- A sleeper that was passed over while its lease had run out shall look for what came meanwhile.
local function tell_missed(worker)
  if call('HDEL', worker_key(worker), 'missed') == 1 then post(worker, { 'look' }) end
end

-- After a time in which nobody could beat, no lease can be trusted to have run out: each gets a full one again.
local function grant_grace()
  local ids = call('ZRANGE', workers_key, 0, -1)
  for i = 1, #ids do
    local lease = call('HGET', worker_key(ids[i]), 'lease')
    call('ZADD', workers_key, 'XX', NOW + (tonumber(lease) or 15000), ids[i])
    call('HSET', worker_key(ids[i]), 'beat_at', NOW)
    tell_missed(ids[i])
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
