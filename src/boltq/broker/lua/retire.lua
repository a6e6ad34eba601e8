#!lua flags=allow-oom
-- retire: a worker is gone; what it still holds goes back at once. Safe to call again.
--   ARGV     now, worker, 1 when it was lost (see losses.lua), 0 when it left in good order, msgpack of the ids of its
--            jobs that had begun, or * when nobody knows
--   returns  jobs taken back, and 1 when there is more: call again
--@use losses, claims, finish
local worker, lost = ARGV[2], ARGV[3] == '1'
local queues = words(call('HGET', worker_key(worker), 'queues') or '')
local MOST_TAKEN = 250
local taken, began = 0, {}
for _, id in ipairs(ARGV[4] == '*' and {} or cmsgpack.unpack(ARGV[4])) do
  began[id] = true
end

local function has_begun(id) return ARGV[4] == '*' or began[id] end

holds.by(worker)

local function hand_back(id, queue)
  local state, route, cancel, place = unpack(call('HMGET', job_key(id), 'state', 'route', 'cancel', 'flow'))
  places.note(id, state == 'running' and place)
  if state ~= 'running' or lost then
    take_back(id, queue)
  elseif cancel then
    if has_begun(id) then note_run(id, 'cancelled') end
    move(id, route_of(route), 'running', 'cancelled', NOW, 'reason', 'cancelled')
  else
    if has_begun(id) then note_run(id, 'handed_back') end
    move(id, route_of(route), 'running', 'queued', 'head')
  end
  taken = taken + 1
end

-- Its lease ends first, so that no hand-off can find it; and the reaper goes on where a broken retirement stopped.
call('ZADD', workers_key, 'XX', 1, worker)
for i = 1, #queues do
  call('SREM', idle_key(queues[i]), worker)
end
local function is_its(holder) return holder == worker and taken < MOST_TAKEN end

local more = 0
for i = 1, #queues do
  local cursor = '0'
  repeat
    cursor = scan_running(queues[i], cursor, is_its, hand_back)
  until cursor == '0' or taken >= MOST_TAKEN
  if taken >= MOST_TAKEN then more = 1 end
end
if more == 0 then forget_worker(worker) end
finish()
return { taken, more }
