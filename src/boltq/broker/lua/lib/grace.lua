--@use clock, mail
-- Whether a lease that has run out can be trusted to have run out: not after a time in which nobody could beat.
local grace = {}

-- The part of a lease that a worker is granted the first and the second time, if it was not heard in between; then none.
local SHARES = { 1, 1 / 3 }

-- Has a sleeper claim that was passed over while its lease had run out.
function grace.tell_missed(worker)
  if call('HDEL', worker_key(worker), 'missed') == 1 then post(worker, { 'look' }) end
end

local function begin_lease(worker, ends)
  call('ZADD', workers_key, 'XX', ends, worker)
  call('HSET', worker_key(worker), 'beat_at', NOW)
  grace.tell_missed(worker)
end

-- For when nobody could beat: gives each worker that time back.
function grace.grant()
  local rows = call('ZRANGE', workers_key, 0, -1, 'WITHSCORES')
  for i = 1, #rows, 2 do
    local lease, graces = unpack(call('HMGET', worker_key(rows[i]), 'lease', 'graces'))
    local times = (tonumber(graces) or 0) + 1
    if SHARES[times] then
      call('HSET', worker_key(rows[i]), 'graces', times)
      begin_lease(rows[i], math.max(tonumber(rows[i + 1]), NOW + math.floor((tonumber(lease) or LEASE_MS) * SHARES[times])))
    end
  end
end

-- For when the clock was set back: each lease begins anew, since its end is a time of the old clock.
function grace.begin_anew()
  call('HSET', partition_key, 'heard', NOW)
  for _, id in ipairs(call('ZRANGE', workers_key, 0, -1)) do
    begin_lease(id, NOW + (tonumber(call('HGET', worker_key(id), 'lease')) or LEASE_MS))
  end
end

-- Returns true if a lease ends later than a whole lease from now: it was given before the clock was set back.
function grace.is_too_long()
  local last, ends = unpack(call('ZRANGE', workers_key, -1, -1, 'WITHSCORES'))
  if not last then return false end
  return tonumber(ends) > NOW + (tonumber(call('HGET', worker_key(last), 'lease')) or LEASE_MS)
end

-- Returns for how long no worker was heard, as far as one can say that came at `since`. A living worker is heard three
-- times a lease; so a worker that was held up proves nothing while others were heard.
function grace.silence(since)
  local here, heard = tonumber(since) or NOW, tonumber(call('HGET', partition_key, 'heard')) or 0
  return NOW - math.max(here <= NOW and here or 0, heard)
end
