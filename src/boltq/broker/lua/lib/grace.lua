--@use clock
-- After a time in which nobody could beat, no lease can be trusted to have run out: each gets a full one again.
local function grant_grace()
  local ids = call('ZRANGE', workers_key, 0, -1, 'WITHSCORES')
  for i = 1, #ids, 2 do
    local lease = tonumber(call('HGET', worker_key(ids[i]), 'lease')) or 15000
    local ends = clock_was_set and NOW + lease or math.max(tonumber(ids[i + 1]), NOW + lease)
    call('ZADD', workers_key, 'XX', ends, ids[i])
    call('HSET', worker_key(ids[i]), 'beat_at', NOW)
  end
end

-- The server's own name for this run of it; a new one means that it was down.
local function run_id() return string.match(call('INFO', 'server'), 'run_id:(%x+)') or '' end
