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
    local limit = tonumber(set_of(queue).limit or stored.max_depth)
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

-- `new`: a NewJobRow; `path`: its route, taken apart.
local function create(new, path)
  local id, route, data, spec, delay, run_at, expires_in, expires_at, _, _, tags, by = NewJobRow(new)
  local due = run_at > 0 and run_at or (delay > 0 and NOW + delay or 0)
  local expires = expires_at > 0 and expires_at or (expires_in > 0 and NOW + expires_in or 0)
  local to, at = 'queued', 'tail'
  if due > NOW then
    to, at = 'scheduled', due
  end
  if spec == '' and expires == 0 then
    move(id, path, 'new', to, at, 'route', route, 'data', data, 'at', STAMP)
  elseif expires == 0 then
    move(id, path, 'new', to, at, 'route', route, 'data', data, 'at', STAMP, 'spec', spec)
  else
    move(id, path, 'new', to, at, 'route', route, 'data', data, 'at', STAMP, 'spec', spec, 'expires', expires)
  end
  if tags then call('HSET', job_key(id), 'tags', tags) end
  if by then call('HSET', job_key(id), 'by', by) end
  made[path.queue] = (made[path.queue] or 0) + 1
  if depths[path.queue] then depths[path.queue] = depths[path.queue] - 1 end
  return to
end

local function count_births()
  for queue, n in pairs(made) do
    note_queue(queue)
    tally(queue, 'submitted', n)
  end
end
