--@use keys, words, clock
-- The one door: move() alone changes a state. It writes the record and notes the rest; commit() writes the notes
-- with one variadic command per index, and one event.
local notes = { HSET = {}, HDEL = {}, ZADD = {}, ZREM = {}, RPUSH = {}, LPUSH = {} }
local readied, soonest, events, tallies = {}, {}, {}, {}

local function note(verb, key, first, second)
  local list = notes[verb][key]
  if not list then
    list = {}
    notes[verb][key] = list
  end
  list[#list + 1] = first
  if second then list[#list + 1] = second end
end

-- A ghost is an id that stands in a ready list though its job is queued no more: taking it out of a long list
-- would cost as much as the list is long, so the claim that comes upon it drops it.
local function count_ghost(queue, list, by) call('HINCRBY', queue_key(queue), 'ghosts:' .. list, by) end

local function leave(id, route, from)
  if from == 'running' then
    note('HDEL', index_key(route.queue, from), id)
  elseif from ~= 'queued' and from ~= 'new' then
    note('ZREM', index_key(route.queue, from), id)
  end
end

-- `at`: for queued 'head', 'tail' or 'ghost' (its id stands in a list still); for running the worker; else the score.
local function enter(id, route, to, at)
  local queue = route.queue
  if to == 'queued' then
    if at == 'head' then
      note('LPUSH', list_key(queue, route.list), id)
    elseif at ~= 'ghost' then
      note('RPUSH', list_key(queue, route.list), id)
    end
    readied[queue] = true
  elseif to == 'completed' then
    note('RPUSH', index_key(queue, to), id)
  elseif to == 'running' then
    note('HSET', index_key(queue, to), id, at)
  else
    note('ZADD', index_key(queue, to), at, id)
    if to == 'scheduled' or to == 'retrying' then
      local key = queue .. ' ' .. to
      if at < (soonest[key] or math.huge) then soonest[key] = at end
    end
  end
end

local function announce(id, route, from, to)
  local key = from .. ' ' .. to
  local ids = route.events[key]
  if not ids then
    ids = {}
    route.events[key] = ids
    events[#events + 1] = { route.text .. ' ' .. key, ids }
  end
  ids[#ids + 1] = id
end

local function tally(queue, what, by)
  local field = queue .. ' ' .. what
  tallies[field] = (tallies[field] or 0) + by
end

-- The only way a job changes its state: its record, both indexes and the event, together. `...`: further fields.
local function move(id, route, from, to, at, ...)
  if not (MOVES[from] and MOVES[from][to]) then refuse('CONFLICT', from .. ' -> ' .. to) end
  call('HSET', job_key(id), 'state', to, 'since', NOW, ...)
  leave(id, route, from)
  enter(id, route, to, at)
  announce(id, route, from, to)
end

local function flush()
  for verb, lists in pairs(notes) do
    for key, list in pairs(lists) do
      call(verb, key, unpack(list))
    end
    notes[verb] = {}
  end
end

-- Latency buckets are powers of two: bucket n holds what took less than 2^n ms.
local function bucket_of(ms)
  local _, exponent = math.frexp(ms)
  return exponent > 0 and exponent or 0
end

local function write_tallies()
  for _, kept in ipairs(SERIES) do
    local seconds, keep = kept[1], kept[2]
    local key = series_key(seconds, math.floor(NOW / 1000 / seconds) * seconds)
    local fresh = false
    for field, by in pairs(tallies) do
      if call('HINCRBY', key, field, by) == by then fresh = true end
    end
    if fresh then call('EXPIRE', key, keep) end
  end
end

-- The stream is bounded by count and by bytes: entries differ a thousandfold in size, so the count follows their mean.
local function write_events()
  local row, size = {}, 0
  for i = 1, #events do
    local ids = table.concat(events[i][2], ' ')
    row[#row + 1] = events[i][1]
    row[#row + 1] = ids
    size = size + #ids + #events[i][1]
  end
  local mean = (tonumber(stored[2]) or size) * 0.95 + size * 0.05
  local most = math.min(MAX_EVENTS, math.max(100, math.floor(MAX_EVENT_BYTES / mean)))
  call('XADD', events_key, 'MAXLEN', '~', most, '*', unpack(row))
  return math.ceil(mean)
end

local hand_off, tell_sleeper = nil, nil -- in lib/claims.lua

local function keys_of(set)
  local list = {}
  for key in pairs(set) do
    list[#list + 1] = key
  end
  return list
end

local function commit()
  flush()
  for key, due in pairs(soonest) do
    local queue, state = string.match(key, '^(%S+) (%S+)$')
    tell_sleeper(queue, state, due)
  end
  for _, queue in ipairs(keys_of(readied)) do -- a copy: a hand-off may make more jobs ready
    hand_off(queue)
  end
  flush()
  if next(tallies) then write_tallies() end
  if #events > 0 then
    call('HSET', partition_key, 'clock', NOW, 'event_bytes', write_events())
  else
    call('HSET', partition_key, 'clock', NOW)
  end
end
