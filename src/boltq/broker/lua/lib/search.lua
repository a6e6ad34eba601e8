--@use reading
-- Walks one index of a queue in its order and offers the jobs that fit a filter. A walk can stop after any job and go
-- on there later, whatever has come and gone meanwhile: its cursor names the last job and where that one stood.
local place_of, behind, said, search

do -- the library may have 200 names of its own, and those of this part's inside need not be among them

local CHUNK, MOST_SEARCHED = 250, 300000

-- A number of a cursor; nil when no cursor of ours has such a number.
function place_of(digits) return digits and #digits < 13 and tonumber(digits) or nil end

-- Lists in the order in which their jobs run, from one on. Of parked types the last comes first, so that each name is less
-- than the one before.
local function next_list(queue, name)
  if name == nil then return ready_name(2) end
  local priority = string.match(name, '^ready:([12])$')
  if priority then return ready_name(priority - 1) end
  local type = string.match(name, '^parked:(.+)$')
  local types = call('ZRANGE', parked_key(queue), type and '(' .. type or '+', '-', 'BYLEX', 'REV', 'LIMIT', 0, 1)
  local before = unpack(types)
  return before and parked_name(before)
end

-- The place behind this job, which stood at `index`. Jobs leave a list at its head: when this one has left, so have all
-- before it.
function behind(key, index, id)
  if call('LINDEX', key, index) == id then return index + 1 end
  local found = call('LPOS', key, id, 'MAXLEN', math.min(index + 1000, MOST_SEARCHED))
  return found and found + 1 or 0
end

local function walk_list(key, name, at, visit)
  while true do
    local ids = call('LRANGE', key, at, at + CHUNK - 1)
    for i = 1, #ids do
      local index = at + i - 1
      if not visit(ids[i], key, name, index) then return index .. ' ' .. ids[i] end
    end
    if #ids < CHUNK then return nil end
    at = at + CHUNK
  end
end

local walk = {} -- state -> function (queue, cursor, visit) that answers the next cursor, '' at the end

function walk.queued(queue, cursor, visit)
  local from, index, id = string.match(cursor, '^(%S+) (%d+) (%S+)$')
  index = place_of(index)
  local name = index and from or next_list(queue, nil)
  while name do
    local key = list_key(queue, name)
    local stopped = walk_list(key, name, index and name == from and behind(key, index, id) or 0, visit)
    if stopped then return name .. ' ' .. stopped end
    name = next_list(queue, name)
  end
  return ''
end

-- Each page of the scan in the order of ids, the newest first, so that a walk can stop within it.
function walk.running(queue, cursor, visit)
  local scan, last = string.match(cursor, '^(%d+) (%S+)$')
  if not place_of(scan) then
    scan, last = '0', nil
  end
  repeat
    local following, ids = unpack(call('SSCAN', index_key(queue, 'running'), scan, 'COUNT', CHUNK))
    table.sort(ids, function(one, other) return one > other end)
    for i = 1, #ids do
      if (not last or ids[i] < last) and not visit(ids[i]) then return scan .. ' ' .. ids[i] end
    end
    scan, last = following, nil
  until scan == '0'
  return ''
end

-- The cursor counts from the first job that ever completed here, so that it stays true while the list moves on.
function walk.completed(queue, cursor, visit)
  local key = index_key(queue, 'completed')
  local size = call('LLEN', key)
  local gone = math.max(0, (tonumber(call('HGET', queue_key(queue), 'completed')) or 0) - size)
  local was, id = string.match(cursor, '^(%d+) (%S+)$')
  local at = size - 1
  if place_of(was) then
    at = place_of(was) - gone
    if call('LINDEX', key, at) ~= id then at = call('LPOS', key, id, 'RANK', -1, 'MAXLEN', 100000) or at end
    at = math.min(at, size) - 1
  end
  while at >= 0 do
    local from = math.max(0, at - CHUNK + 1)
    local ids = call('LRANGE', key, from, at)
    for i = #ids, 1, -1 do
      if not visit(ids[i]) then return (gone + from + i - 1) .. ' ' .. ids[i] end
    end
    at = from - 1
  end
  return ''
end

-- Where a walk over scores goes on; when its last job has left, at that job's score.
local function rank_behind(key, reverse, score, id)
  local rank = call(reverse and 'ZREVRANK' or 'ZRANK', key, id)
  if rank then return rank + 1 end
  if reverse then return call('ZCOUNT', key, '(' .. score, '+inf') end
  return call('ZCOUNT', key, '-inf', '(' .. score)
end

local function by_score(state, reverse)
  return function(queue, cursor, visit)
    local key = index_key(queue, state)
    local score, id = string.match(cursor, '^(%d+) (%S+)$')
    local at = score and rank_behind(key, reverse, score, id) or 0
    while true do
      local page = call(reverse and 'ZREVRANGE' or 'ZRANGE', key, at, at + CHUNK - 1, 'WITHSCORES')
      for i = 1, #page, 2 do
        if not visit(page[i]) then return page[i + 1] .. ' ' .. page[i] end
      end
      if #page < 2 * CHUNK then return '' end
      at = at + CHUNK
    end
  end
end
walk.scheduled, walk.retrying, walk.blocked = by_score('scheduled', false), by_score('retrying', false), by_score('blocked', false)
walk.dead, walk.cancelled = by_score('dead', true), by_score('cancelled', true)

-- What the error that our own code has written as JSON says under a name; the quotes inside of its texts are escaped.
function said(error, name) return error and string.match(error, '"' .. name .. '":"([^"]*)"') or '' end

local SOUGHT = SoughtJob.fields -- the error comes last, for most searches do not ask for it

local function has_all(tags, wanted)
  for i = 1, #wanted do
    if not string.find(' ' .. tags .. ' ', ' ' .. wanted[i] .. ' ', 1, true) then return false end
  end
  return true
end

local function is_one_of(wanted, value)
  for i = 1, #wanted do
    if wanted[i] == value then return true end
  end
  return false
end

-- `job`: a SoughtJob.
local function fits(job, marks)
  local _, _, route, at, worker, tags, _, _, error = SoughtJob(job)
  at = tonumber(at) or 0
  return not (
    (marks.types and not is_one_of(marks.types, route_of(route).type))
    or (marks.after and at < marks.after)
    or (marks.before and at >= marks.before)
    or (marks.worker and worker ~= marks.worker)
    or (marks.tags and not has_all(tags or '', marks.tags))
    or (marks.category and said(error, 'category') ~= marks.category)
    or (marks.fingerprint and said(error, 'fingerprint') ~= marks.fingerprint)
  )
end

-- Whether a job that is queued waits at this place of this list, and is no ghost there.
local function waits_here(id, job, key, name, index)
  local _, _, route, _, _, _, parked, ghost, _ = SoughtJob(job)
  if standing(route_of(route), parked) ~= name then return false end
  local twice = ghost and string.find(' ' .. ghost .. ' ', ' ' .. name .. ' ', 1, true)
  return not twice or call('LPOS', key, id) == index
end

-- Offers the jobs of a queue and state that have these marks to `take(id, SoughtJob)`, until it answers false or
-- `most` were looked at. `with_error` asks for the error too. Answers the next cursor, '' at the end, and how many it
-- has looked at.
function search(queue, state, cursor, marks, most, take, with_error)
  local fields = (with_error or marks.category or marks.fingerprint) and #SOUGHT or #SOUGHT - 1
  local seen = 0
  local following = walk[state](queue, cursor, function(id, key, name, index)
    seen = seen + 1
    local job = call('HMGET', job_key(id), unpack(SOUGHT, 1, fields))
    local go_on = true
    local here = job[SoughtJob.state] == state and (state ~= 'queued' or waits_here(id, job, key, name, index))
    if here and fits(job, marks) then go_on = take(id, job) end
    return go_on and seen < most
  end)
  return following, seen
end

end
