--@use keys
-- How many jobs each worker has, as the store sees it: a count in its hash, which it compares with its own.
local holds
local held -- by how much the holder's count has changed so far; move() adds to it
do
  local holder -- the worker for which jobs begin or cease to run
  local changes -- worker -> by how many
  local counts -- worker -> how many jobs it has, if this call has written that

  holds = {}

  function holds.begin()
    holder, changes, counts = nil, {}, {}
  end

  -- Counts for this worker from now on; nil: no job may begin or cease to run.
  function holds.by(worker)
    if held ~= 0 then changes[holder] = (changes[holder] or 0) + held end
    holder, held = worker, 0
  end

  -- Writes the counts. A worker that is gone has none: jobs that it held may be swept after it.
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

  -- How many jobs a worker has. Call it after commit().
  function holds.of(worker) return counts[worker] or holds.read(call('HGET', worker_key(worker), 'holds')) end
end

local function begin_holds()
  held = 0
  holds.begin()
end
