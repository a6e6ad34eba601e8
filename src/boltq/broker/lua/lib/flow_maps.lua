--@use flow, flow_rules, cancels
-- Maps: each item of such a step is a job. A bounded number of them run at a time; after the last, the step's job goes on.

flow.ERRORS = 20 -- so many errors of items stay with the map when the jobs are gone
flow.ITEMS = { completed = 'good', dead = 'bad', cancelled = 'gone' }

function flow.map_key(w, n, part) return flow_key(w.id, 'map:' .. n .. (part and ':' .. part or '')) end

local function map_of(w, n)
  local key = flow.map_key(w, n)
  local fields = call('HMGET', key, 'total', 'begun', 'most', 'bearable', 'stopped', 'ahead')
  local total, begun, most, bearable, stopped, ahead = unpack(fields)
  local gone_key = flow.map_key(w, n, 'gone')
  local good_key, bad_key = flow.map_key(w, n, 'good'), flow.map_key(w, n, 'bad')
  local map = { total = tonumber(total), begun = tonumber(begun), most = tonumber(most), stopped = stopped }
  map.good, map.bad, map.gone = call('SCARD', good_key), call('SCARD', bad_key), call('SCARD', gone_key)
  map.ahead = tonumber(ahead) or 0
  map.ended = map.good + map.bad + map.gone - map.ahead
  map.lost = map.total and map.bad + map.gone > tonumber(bearable)
  return map
end

-- What this call remembers of a map: how many items have begun, and `told`: flow.work.map is to be done.
function flow.map(w, n)
  w.maps = w.maps or {}
  w.maps[n] = w.maps[n] or {}
  return w.maps[n]
end

-- Keeps the first errors of items, which the step names when the jobs are gone, and counts failures of each category.
function flow.note_failure(w, n, i, err)
  local key, errors_key = flow.map_key(w, n), flow.map_key(w, n, 'errors')
  local category = string.match(err, '"category":"([%l_]+)"') or 'unknown'
  call('HINCRBY', key, 'category:' .. category, 1)
  if call('HLEN', errors_key) >= flow.ERRORS then return end
  local traceback = string.find(err, ',"traceback":"', 1, true) -- the last field; no text has such quotes
  call('HSET', errors_key, i, traceback and string.sub(err, 1, traceback - 1) .. '}' or err)
end

function flow.item_ended(w, n, i, parent, state, result, err)
  local key = flow.map_key(w, n)
  local map = flow.map(w, n)
  local begun = map.begun or tonumber(call('HGET', key, 'begun'))
  map.begun = begun
  if flow.job_of(w, n) ~= parent or not begun or i > begun then return end
  local ends_key = flow.map_key(w, n, flow.ITEMS[state])
  if call('SADD', ends_key, i) == 0 then return end
  if result and call('HINCRBY', key, 'bytes', #result + 1) <= MAX_RESULT_BYTES then
    local results_key = flow.map_key(w, n, 'results')
    call('HSET', results_key, i, result)
  end
  if err then flow.note_failure(w, n, i, err) end
  if not map.told then flow.to_do(w, 'map', n) end
  map.told = true
end

function flow.stop_map(w, n)
  local key = flow.map_key(w, n)
  if call('HSETNX', key, 'stopped', 1) == 1 then
    flow.to_do(w, 'halt', n)
    flow.to_do(w, 'map', n)
  end
end

-- Returns a function that gives the id of item `i`. It reads many at a time.
function flow.ids_of_items(jobs_key)
  local ids, first, last = {}, 1, 0
  return function(i, total)
    if i > last then
      local numbers = {}
      first, last = i, math.min(i + 99, total)
      for number = first, last do
        numbers[#numbers + 1] = number
      end
      ids = call('HMGET', jobs_key, unpack(numbers))
    end
    return ids[i - first + 1]
  end
end

-- Begins items, as many as may run. When none runs and none may begin, the map's job goes on: a worker gathers the results.
function flow.work.map(w, n)
  flow.map(w, n).told = nil
  local parent = flow.job_of(w, n)
  local state, route, phase = unpack(call('HMGET', job_key(parent), 'state', 'route', 'phase'))
  if state ~= 'blocked' or phase ~= PHASES.items.name then return nil end
  local map, key, jobs_key, gone_key = map_of(w, n), flow.map_key(w, n), flow.map_key(w, n, 'jobs'), flow.map_key(w, n, 'gone')
  local good_key, item_of = flow.map_key(w, n, 'good'), flow.ids_of_items(jobs_key)
  local begun, ended, ahead = map.begun, map.ended, map.ahead
  while begun < map.total and begun - ended < map.most and not (map.lost or map.stopped or w.paused) and left_over > 0 do
    begun, left_over = begun + 1, left_over - 1
    if ahead > 0 and call('SISMEMBER', good_key, begun) == 1 then
      ahead, ended = ahead - 1, ended + 1
    elseif not flow.release(item_of(begun, map.total)) and call('SADD', gone_key, begun) == 1 then
      ended = ended + 1
    end
  end
  if begun > map.begun then
    call('HSET', key, 'begun', begun, 'ahead', ahead)
    flow.map(w, n).begun = begun
    map = map_of(w, n)
    if left_over <= 0 then return 1 end
  end
  if map.ended < map.begun or (map.begun < map.total and not (map.lost or map.stopped)) then return nil end
  if map.stopped and (map.gone > 0 or map.begun < map.total) then
    cancel_waiting(parent, route_of(route), 'blocked', 'cancelled')
    flow.finish(w, n, 'cancelled', nil, flow.run_of(parent))
  else
    flow.release(parent)
  end
  return nil
end
