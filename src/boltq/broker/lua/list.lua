#!lua flags=no-writes
-- list: one page of the jobs of a queue in one state: queued as they will run, scheduled and retrying the soonest
-- first, all others the newest first.
--   ARGV     now, queue, state, cursor ('' for the first page), how many
--   returns  msgpack of [next cursor or '', row*]
--@use reading
local queue, state, cursor, most = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local key = index_key(queue, state)
local list = {}

-- The cursor is "list offset".
function list.queued()
  local names = { ready_name(2), ready_name(1), ready_name(0) }
  for _, type in ipairs(call('SMEMBERS', parked_key(queue))) do
    names[#names + 1] = parked_name(type)
  end
  local at, offset = string.match(cursor, '^(%S+) (%d+)$')
  offset = tonumber(offset) or 0
  local ids, here = {}, at == nil
  for i, name in ipairs(names) do
    here = here or name == at
    if here then
      local page = call('LRANGE', list_key(queue, name), offset, offset + most - #ids - 1)
      for _, id in ipairs(page) do
        ids[#ids + 1] = id
      end
      if #ids >= most then return ids, name .. ' ' .. (offset + #page) end
      offset = 0
    end
  end
  return ids, ''
end

function list.running()
  local page = call('SSCAN', key, string.match(cursor, '^%d+$') or '0', 'COUNT', most)
  return page[2], page[1] == '0' and '' or page[1]
end

-- The cursor counts from the first job that ever completed here, so that it stays true while the list moves on.
function list.completed()
  local ever = tonumber(call('HGET', queue_key(queue), 'completed')) or 0
  local gone = ever - call('LLEN', key)
  local upto = math.min(tonumber(cursor) or ever, ever) - 1
  local from = math.max(upto - most + 1, gone)
  if upto < gone then return {}, '' end
  local page, ids = call('LRANGE', key, from - gone, upto - gone), {}
  for i = #page, 1, -1 do
    ids[#ids + 1] = page[i]
  end
  return ids, from > gone and tostring(from) or ''
end

-- The cursor is "score id"; when that job has left, the page goes on at its score.
local function sorted(reverse)
  return function()
    local start = 0
    local score, id = string.match(cursor, '^(%S+) (%S+)$')
    if tonumber(score) then
      local rank = call(reverse and 'ZREVRANK' or 'ZRANK', key, id)
      if rank then
        start = rank + 1
      elseif reverse then
        start = call('ZCOUNT', key, '(' .. score, '+inf')
      else
        start = call('ZCOUNT', key, '-inf', '(' .. score)
      end
    end
    local page = call(reverse and 'ZREVRANGE' or 'ZRANGE', key, start, start + most - 1, 'WITHSCORES')
    local ids = {}
    for i = 1, #page, 2 do
      ids[#ids + 1] = page[i]
    end
    return ids, #ids == most and page[#page] .. ' ' .. page[#page - 1] or ''
  end
end
list.scheduled, list.retrying, list.dead, list.cancelled = sorted(false), sorted(false), sorted(true), sorted(true)

local ids, following = list[state]()
local rows = {}
for _, id in ipairs(ids) do
  local row = read_job(id, SUMMARY)
  if row and row[3] == state then rows[#rows + 1] = row end
end
return cmsgpack.pack({ following, rows })
