#!lua flags=no-writes
-- place: where a queued job stands in its queue's line of this partition.
--   ARGV     now, id
--   returns  msgpack of [jobs ahead of it, 1 when there are at least so many, 1 when it is parked]; [] when it is not
--            queued
--@use reading
local MOST = 10000 -- how far into a list one call looks
local id = ARGV[2]
local state, path, parked = unpack(call('HMGET', job_key(id), 'state', 'route', 'parked'))
if state ~= 'queued' then return cmsgpack.pack({}) end

local route = route_of(path)
local name = standing(route, parked)
local key = list_key(route.queue, name)

-- How many of the first jobs of the list wait there, and are no ghosts.
local function waiting_before(index)
  local n = 0
  for _, other in ipairs(index > 0 and call('LRANGE', key, 0, index - 1) or {}) do
    local its_state, its_path, is_parked = unpack(call('HMGET', job_key(other), 'state', 'route', 'parked'))
    if its_state == 'queued' and standing(route_of(its_path), is_parked) == name then n = n + 1 end
  end
  return n
end

local before = call('LPOS', key, id, 'MAXLEN', MOST)
local ahead = before or MOST
if ghosts_in(route.queue, name) > 0 then ahead = waiting_before(ahead) end
for priority = route.priority + 1, parked and 0 or 2 do
  ahead = ahead + waiting_in(route.queue, ready_name(priority))
end
return cmsgpack.pack({ ahead, before and 0 or 1, parked and 1 or 0 })
