--@use claims, reading, queues
-- New jobs: whether their queue has room for them, and how they begin.
local depths, made -- by queue: how many more it may take (false: no limit), how many it got

local function begin_births()
  depths, made = {}, {}
end

-- How many more jobs the queue may take; false when it has no limit.
local function room_in(queue)
  local room = depths[queue]
  if room == nil then
    room = false
    local limit = tonumber(set_of(queue)[2] or stored[4])
    if limit and limit > 0 then
      room = limit - call('ZCARD', index_key(queue, 'scheduled')) - parked_in(queue)
      for priority = 0, 2 do
        room = room - waiting_in(queue, ready_name(priority))
      end
    end
    depths[queue] = room
  end
  return room
end

-- Why a queue takes no new job: FULL, or QUEUES when it is new, and there are as many as there may be; else nil.
local function is_full(queue)
  if not may_begin(queue) then return 'QUEUES' end
  local room = room_in(queue)
  return room and room <= 0 and 'FULL' or nil
end

-- A new job, as the broker writes it (see submit.lua).
local function create(job, route)
  local id, due = job[1], job[6] > 0 and job[6] or (job[5] > 0 and NOW + job[5] or 0)
  local expires = job[8] > 0 and job[8] or (job[7] > 0 and NOW + job[7] or 0)
  local to, at = 'queued', 'tail'
  if due > NOW then
    to, at = 'scheduled', due
  end
  if job[4] == '' and expires == 0 then
    move(id, route, 'new', to, at, 'route', job[2], 'data', job[3], 'at', STAMP)
  elseif expires == 0 then
    move(id, route, 'new', to, at, 'route', job[2], 'data', job[3], 'at', STAMP, 'spec', job[4])
  else
    move(id, route, 'new', to, at, 'route', job[2], 'data', job[3], 'at', STAMP, 'spec', job[4], 'expires', expires)
  end
  if job[11] and job[11] ~= '' then call('HSET', job_key(id), 'tags', job[11]) end
  if job[12] and job[12] ~= '' then call('HSET', job_key(id), 'by', job[12]) end
  made[route.queue] = (made[route.queue] or 0) + 1
  if depths[route.queue] then depths[route.queue] = depths[route.queue] - 1 end
  return to
end

local function count_births()
  for queue, n in pairs(made) do
    note_queue(queue)
    tally(queue, 'submitted', n)
  end
end
