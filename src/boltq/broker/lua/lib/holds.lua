--@use keys
-- How many jobs each worker has, as the store sees it: a count in its hash, which it compares with its own.
local holds
local held -- by how many the holder's count has changed; move() counts there
do
  local holder -- on whose behalf jobs begin to run, or run no more
  local changes -- worker -> by how many
  local counts -- worker -> how many, where this call has written it

  holds = {}

  function holds.begin()
    holder, changes, counts = nil, {}, {}
  end

  -- From now on, it is this one; without any, no job may begin to run.
  function holds.by(worker)
    if held ~= 0 then changes[holder] = (changes[holder] or 0) + held end
    holder, held = worker, 0
  end

  -- Who is gone is not counted for: a job that it held may be swept after it.
  function holds.write()
    holds.by(nil)
    for worker, by in pairs(changes) do
      if by ~= 0 and call('HEXISTS', worker_key(worker), 'holds') == 1 then
        counts[worker] = call('HINCRBY', worker_key(worker), 'holds', by)
      end
    end
    changes = {}
  end

  function holds.read(text) return tonumber(text) or UNCOUNTED end

  -- After commit().
  function holds.of(worker) return counts[worker] or holds.read(call('HGET', worker_key(worker), 'holds')) end
end

local function begin_holds()
  held = 0
  holds.begin()
end
