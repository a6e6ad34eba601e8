--@use keys, words, clock, history, holds
-- The one door: move() alone changes a state. It writes the record and notes the rest; commit() writes the notes
-- with one variadic command per index, counts the jobs that have ended, and writes one event.
local notes -- verb -> key -> its further arguments
local unwritten -- there are notes that flush() has not written yet
local moved -- route -> what to note where; so that the loop over a batch makes no strings and looks nothing up
local events, rows_by_text -- the events in order, and by their text: one for each kind of move
local ended -- "queue state" -> for each kind of move that ends jobs so, the list of their ids; nil while none has ended
local readied, soonest, tallies, totals -- what is counted, by queue and what, and of all queues by what

-- The workflow's jobs that a script is about to move. Whoever has read a job's field `flow` notes it before the move, and
-- move() tells the workflow (see flow_go_on.lua), so that no script has to tell it of an end, however a job ends.
local places = {} -- known: id -> place in the workflow; and of a run that ends: how it ran and its data, if that is known

function places.note(id, place, run, inputs)
  if not place then return end
  places.known = places.known or {}
  places.known[id] = { place, run, inputs }
end

local function begin_moves()
  places.known = nil
  notes = { SADD = {}, SREM = {}, ZADD = {}, ZREM = {}, RPUSH = {}, LPUSH = {} }
  unwritten = false
  moved, events, rows_by_text, readied, soonest, tallies, totals = {}, {}, {}, {}, {}, {}, {}
  ended = nil
end

-- Lists count by themselves: #list is a search.
local function push(list, item)
  local n = list.n + 1
  list.n = n
  list[n] = item
end

-- The list of further arguments for one variadic command.
local function noted(verb, key)
  local list = notes[verb][key]
  if not list then
    list = { n = 0 }
    notes[verb][key] = list
    unwritten = true
  end
  return list
end

-- A ghost is an id that stands in a list of waiting jobs though its job does not wait there: taking it out of a long
-- list would cost as much as the list is long, so the claim that comes upon it drops it. A job's field `ghost` names the
-- lists in which its id stands so, a list as often as the id does; the queue counts them.
local function count_ghost(queue, list, by) call('HINCRBY', queue_key(queue), 'ghosts:' .. list, by) end

local function with_ghost(ghosts, list) return ghosts and ghosts .. ' ' .. list or list end

-- The field `ghost` without one mention of a list, and whether it had one; nil when nothing is left.
local function without_ghost(ghosts, list)
  local left, found = nil, false
  for name in string.gmatch(ghosts or '', '%S+') do
    if name == list and not found then
      found = true
    else
      left = with_ghost(left, name)
    end
  end
  return left, found
end

local function set_ghosts(id, ghosts)
  if ghosts then
    call('HSET', job_key(id), 'ghost', ghosts)
  else
    call('HDEL', job_key(id), 'ghost')
  end
end

local LEAVE = { running = 'SREM', blocked = 'ZREM', scheduled = 'ZREM', retrying = 'ZREM', dead = 'ZREM', cancelled = 'ZREM' }
local ENTER = { running = 'SADD', blocked = 'ZADD', completed = 'RPUSH', scheduled = 'ZADD', retrying = 'ZADD', dead = 'ZADD', cancelled = 'ZADD' }

local ENDS = { completed = true, dead = true, cancelled = true }

local function row_of(text)
  local ids = rows_by_text[text]
  if not ids then
    ids = { n = 0 }
    rows_by_text[text] = ids
    events[#events + 1] = { text, ids }
  end
  return ids
end

-- Where the jobs of one route note one move: what to leave, what to enter, whom to tell. Made once a call.
local function path_of(route, from, to)
  local paths = moved[route]
  if not paths then
    paths = {}
    moved[route] = paths
  end
  local path = paths[from] and paths[from][to]
  if path then return path end
  if not (MOVES[from] and MOVES[from][to]) then refuse('CONFLICT', from .. ' -> ' .. to) end
  path = { ids = row_of(route.text .. ' ' .. from .. ' ' .. to) }
  if ENDS[to] then
    local there = route.queue .. ' ' .. to
    ended = ended or {}
    ended[there] = ended[there] or {}
    ended[there][path.ids] = true -- flush() forgets the paths, so it may be there
  end
  if LEAVE[from] then path.leave = noted(LEAVE[from], index_key(route.queue, from)) end
  if ENTER[to] then path.enter = noted(ENTER[to], index_key(route.queue, to)) end
  path.scored = ENTER[to] == 'ZADD'
  path.held = (to == 'running' and 1) or (from == 'running' and -1) -- by whom: see holds.by
  path.timed = (to == 'scheduled' or to == 'retrying') and route.queue .. ' ' .. to
  paths[from] = paths[from] or {}
  paths[from][to] = path
  return path
end

local PUSH = { head = 'LPUSH', tail = 'RPUSH' }

-- `at`: 'head', 'tail' or 'ghost', if the job's id still stands in the list.
local function enter_ready(id, route, at, path)
  if PUSH[at] then
    path[at] = path[at] or noted(PUSH[at], list_key(route.queue, route.list))
    push(path[at], id)
  end
  readied[route.queue] = true
end

local function announce(id, route, from, to) push(row_of(route.text .. ' ' .. from .. ' ' .. to), id) end

local function tally(queue, what, by)
  local field = queue .. ' ' .. what
  tallies[field] = (tallies[field] or 0) + by
  totals[what] = (totals[what] or 0) + by
end

-- The only way a job changes its state: its record, both indexes and the event, together. `at` is the score of the
-- state's index, or the place in the ready list. `...`: further fields.
local function move(id, route, from, to, at, ...)
  local path = path_of(route, from, to)
  call('HSET', job_key(id), 'state', to, 'since', STAMP, ...)
  local by, leave, enter, ids = path.held, path.leave, path.enter, path.ids
  if by then held = held + by end
  if leave then push(leave, id) end
  if enter then
    if path.scored then
      push(enter, at)
      if path.timed and at < (soonest[path.timed] or math.huge) then soonest[path.timed] = at end
    end
    push(enter, id)
  else
    enter_ready(id, route, at, path)
  end
  local n = ids.n + 1
  ids.n = n
  ids[n] = id
  if places.known and places.known[id] then places.tell(id, to, ...) end
end

local MOST_ARGUMENTS = 4000 -- of one command; unpack() ends at 8,000

local function flush()
  if not unwritten then return end
  unwritten = false
  for verb, lists in pairs(notes) do
    for key, list in pairs(lists) do
      for i = 1, list.n, MOST_ARGUMENTS do
        call(verb, key, unpack(list, i, math.min(list.n, i + MOST_ARGUMENTS - 1)))
      end
    end
    notes[verb] = {}
  end
  moved = {}
end

-- Each job that has ended is counted once.
local function count_ended()
  if not ended then return end
  for there, lists in pairs(ended) do
    local queue, state = unpack(words(there))
    local n = 0
    for ids in pairs(lists) do
      n = n + ids.n
    end
    call('HINCRBY', queue_key(queue), state, n)
    tally(queue, state, n)
  end
end

-- How long something took, by route until the end. Buckets are powers of two: bucket n holds less than 2^n ms.
local function time(route, what, ms)
  local counts = route[what]
  if not counts then
    counts = {}
    route[what] = counts
  end
  counts[ms] = (counts[ms] or 0) + 1
end

-- Times are counted of all queues together.
local function tally_times(what)
  for _, route in pairs(routes) do
    for ms, n in pairs(route[what] or {}) do
      local _, exponent = math.frexp(ms)
      local field = what .. ':' .. math.max(0, exponent)
      totals[field] = (totals[field] or 0) + n
    end
    route[what] = nil
  end
end

local function count_into(key, counts, keep)
  local fresh = false
  for field, by in pairs(counts) do
    if call('HINCRBY', key, field, by) == by then fresh = true end
  end
  if fresh then call('EXPIRE', key, keep) end
end

local function write_tallies()
  for _, kept in ipairs(SERIES) do
    local seconds, keep = kept[1], kept[2]
    local bucket = math.floor(NOW / 1000 / seconds) * seconds
    count_into(series_key(seconds, bucket), tallies, keep)
    count_into(totals_key(seconds, bucket), totals, keep)
  end
end

-- The stream is bounded by count and by bytes: entries differ a thousandfold in size, so the count follows their mean.
local function write_events()
  local row, size = {}, 0
  for i = 1, #events do
    local text, list = events[i][1], events[i][2]
    if list.n > 0 then
      local ids = table.concat(list, ' ', 1, list.n)
      row[#row + 1] = text
      row[#row + 1] = ids
      size = size + #ids + #text
    end
  end
  local mean = (tonumber(stored.event_bytes) or size) * 0.95 + size * 0.05
  local most = math.min(MAX_EVENTS, math.max(100, math.floor(MAX_EVENT_BYTES / mean)))
  call('XADD', events_key, 'MAXLEN', '~', most, '*', unpack(row))
  return math.ceil(mean)
end

local hand_off, tell_sleeper -- in lib/claims.lua

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
  count_ended()
  tally_times('wait')
  tally_times('run')
  if next(totals) then write_tallies() end
  holds.write()
  if #events > 0 then
    history.go_on(1, 'event_bytes', write_events())
  else
    history.go_on(0)
  end
end
