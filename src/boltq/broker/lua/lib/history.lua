--@use clock
-- The history of a partition: each call that moves a job has a number, and answers tell it. An era is one run of the
-- server, or what follows a FLUSHALL, or a step of the clock; it knows after which number it began. So whoever has heard
-- of a higher number than that knows that the store went back in time. What is noticed so is an alarm, kept for a day.
local history
do
  local DAY_MS, SAME_MS = 86400000, 60000
  local own -- the first part of this era's name: it is different for each run of each server
  local seq, era, alarmed

  history = {}

  function history.begin()
    seq, era, alarmed = tonumber(stored.seq) or 0, stored.era or '', tonumber(stored.alarmed) or 0
  end

  -- `kind`: went_back, clock, unknown_worker. An alarm that comes again within a minute is counted as the same.
  function history.alarm(kind, text)
    local at, times = string.match(call('HGET', alarms_key(), kind) or '', '^(%d+) (%d+)')
    at, times = tonumber(at) or 0, tonumber(times) or 0
    local same = at <= NOW and NOW - at < SAME_MS
    if at > NOW or NOW - at > DAY_MS then times = 0 end
    call('HSET', alarms_key(), kind, string.format('%.0f %d %s', same and at or NOW, times + 1, text))
    call('PEXPIRE', alarms_key(), DAY_MS)
    if same then return end
    alarmed = math.max(NOW, alarmed + 1)
    call('HSET', partition_key, 'alarmed', string.format('%.0f', alarmed))
  end

  -- Every script that writes calls this before it answers. `moves`: 1 if it has moved jobs, else 0.
  function history.go_on(moves, ...)
    own = own or string.sub(run_id(), 1, 12)
    if era == '' or string.sub(era, 1, #own) ~= own or clock_was_set then
      era = string.format('%s %.0f %d', own, NOW, seq)
      call('HSET', partition_key, 'era', era)
    end
    if clock_was_set then
      history.alarm('clock', string.format('the clock of the server was set back by %.0f s', (stored.clock - NOW) / 1000))
    end
    seq = seq + moves
    if moves > 0 then
      call('HSET', partition_key, 'clock', NOW, 'seq', seq, ...)
    else
      call('HSET', partition_key, 'clock', NOW)
    end
  end

  -- What answers say of the history.
  function history.mark() return { seq, era, alarmed } end
end

local function begin_history() history.begin() end
