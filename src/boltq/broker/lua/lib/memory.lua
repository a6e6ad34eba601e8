--@use clock
-- Ids of jobs and workflows that are gone. Whoever submits one again, because the answer was lost, is told that it was
-- there; so our own repeats, and packets that were late, run nothing twice. An id begins with its time, in base 32: 8 of
-- its characters name a second, more or less, and all ids of one second stand in one key, which expires. What the store
-- cannot know any more it does not guess: an older id than it remembers is FORGOTTEN.
local memory = {}
local function begin_memory() memory.known = nil end

local LETTERS = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
local MOST_SECONDS, LOOK_EVERY = 512, 4096 -- keys; ids, after which they are counted
local VALUES = {} -- of the letters' codes; filled when it is first needed: a library that loads has no `string`

-- The milliseconds that 10 characters name; 8 of them name units of 1,024.
local function read_time(text)
  local ms = 0
  for i = next(VALUES) and 33 or 1, 32 do
    VALUES[string.byte(LETTERS, i)] = i - 1
  end
  for i = 1, #text do
    ms = ms * 32 + (VALUES[string.byte(text, i)] or 0)
  end
  return ms
end

local function end_of(second) return read_time(second) * 1024 + 1023 end

local function is_among(seconds, second) return string.find(seconds or '', second, 1, true) ~= nil end

-- Lets go of seconds that are past, and of the oldest when there is too much. Answers those that are left.
local function tidied(seconds, forgot)
  local live, total = {}, 0
  for second in string.gmatch(seconds, '%S+') do
    local n = call('SCARD', gone_key(second))
    if n > 0 then
      live[#live + 1] = { second = second, n = n }
      total = total + n
    end
  end
  table.sort(live, function(a, b) return a.second < b.second end)
  local first = 1
  while live[first] and (total > MAX_REMEMBERED or #live - first >= MOST_SECONDS or end_of(live[first].second) < NOW - REMEMBERED_MS) do
    call('UNLINK', gone_key(live[first].second))
    forgot = math.max(forgot, math.min(end_of(live[first].second), NOW)) -- what is made from now on is no repeat
    total = total - live[first].n
    first = first + 1
  end
  local names = {}
  for i = first, #live do
    names[#names + 1] = live[i].second
  end
  call('HSET', partition_key, 'seconds', table.concat(names, ' '), 'forgot', forgot, 'remembered', 0)
end

-- Notes ids of young jobs that are gone from now on, and how far the memory of all others reaches.
function memory.keep(ids)
  local newest, by_second, n = stored.pruned or '', {}, 0
  local second, last, list = '', '', nil -- of the id before: neighbours were mostly made in the same second
  for i = 1, #ids do
    local id = ids[i]
    if id > newest then newest = id end
    if id > last or id < second then
      second = string.sub(id, 1, 8)
      last, list = second .. '~', by_second[second]
      if list == nil then
        list = end_of(second) >= NOW - REMEMBERED_MS and { n = 0 } -- older ones are FORGOTTEN by their time
        by_second[second] = list
      end
    end
    if list then
      n = n + 1
      list.n = list.n + 1
      list[list.n] = id
    end
  end
  local seconds, forgot, remembered = unpack(n > 0 and call('HMGET', partition_key, 'seconds', 'forgot', 'remembered') or {})
  local fresh
  for name, gone in pairs(by_second) do
    local key = gone_key(name)
    for i = 1, gone and gone.n or 0, 4000 do
      call('SADD', key, unpack(gone, i, math.min(gone.n, i + 3999)))
    end
    if gone and not is_among(seconds, name) then
      local left = math.min(end_of(name) + REMEMBERED_MS - NOW, 2 * REMEMBERED_MS) -- a client's clock may be ahead
      call('PEXPIRE', key, math.max(1, left))
      seconds, fresh = (seconds and seconds .. ' ' or '') .. name, true
    end
  end
  if newest ~= stored.pruned then
    stored.pruned = newest
    call('HSET', partition_key, 'pruned', newest, 'remembered', (tonumber(remembered) or 0) + n)
  elseif n > 0 then
    call('HINCRBY', partition_key, 'remembered', n)
  end
  if n > 0 and (fresh or (tonumber(remembered) or 0) + n > LOOK_EVERY) then tidied(seconds, tonumber(forgot) or 0) end
end

-- What a new id is told that has no record: EXISTS, it is gone; FORGOTTEN, nobody can say; nil, it is new.
function memory.word(id)
  if not stored.pruned or id > stored.pruned then return nil end -- the newest that is gone is older
  if not memory.known then
    local seconds, forgot = unpack(call('HMGET', partition_key, 'seconds', 'forgot'))
    memory.known = { seconds = seconds, forgot = forgot }
  end
  local second = string.sub(id, 1, 8)
  if is_among(memory.known.seconds, second) and call('SISMEMBER', gone_key(second), id) == 1 then return 'EXISTS' end
  local until_then = math.max(tonumber(memory.known.forgot) or 0, NOW - REMEMBERED_MS)
  return read_time(string.sub(id, 1, 10)) <= until_then and 'FORGOTTEN' or nil
end
