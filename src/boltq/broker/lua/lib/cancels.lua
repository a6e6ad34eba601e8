--@use claims
-- Cancels single jobs.
local cancel_letters -- worker -> ids of running jobs that it shall stop; nil while there are none

local function begin_cancels() cancel_letters = nil end

-- A running job is marked, and its worker told by tell_cancels().
local function ask_to_stop(worker, id)
  call('HSET', job_key(id), 'cancel', 1)
  if call('EXISTS', worker_key(worker)) == 0 then return end -- it is gone: the sweep will cancel what it held
  call('SADD', cancels_key(worker), id)
  cancel_letters = cancel_letters or {}
  cancel_letters[worker] = cancel_letters[worker] or {}
  cancel_letters[worker][#cancel_letters[worker] + 1] = id
end

-- blocked, scheduled, queued, retrying -> cancelled.
local function cancel_waiting(id, route, state, reason, parked, ghosts)
  if state == 'queued' then
    local list = standing(route, parked)
    move(id, route, state, 'cancelled', NOW, 'reason', reason, 'ghost', with_ghost(ghosts, list))
    count_ghost(route.queue, list, 1)
    if parked then count_parked(route.queue, -1) end
  else
    move(id, route, state, 'cancelled', NOW, 'reason', reason)
  end
end

local function tell_cancels()
  if not cancel_letters then return end
  for worker, ids in pairs(cancel_letters) do
    post(worker, { 'cancel', ids })
  end
end
