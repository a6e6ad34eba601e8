#!lua flags=no-writes
-- failures: the dead jobs of a queue, gathered by what went wrong.
--   ARGV     now, queue, cursor ('' to begin), msgpack of marks (see JobFilter), how many to look at at most,
--            by fingerprint, type or queue, from when on they count as recent
--   returns  msgpack of [next cursor or '', how many were looked at, group*]; a group is [key, the newest job's id, its
--            error without the traceback, number, recent ones, first at, last at, {type: number}]
--@use search
local by, recent = ARGV[6], tonumber(ARGV[7])
local groups, order = {}, {}

local key_of = {}
function key_of.fingerprint(job) return said(job[9], 'fingerprint') end
function key_of.type(job) return route_of(job[3]).type end
function key_of.queue() return ARGV[2] end

local function without_traceback(error)
  local cut = string.find(error, ',"traceback":"', 1, true)
  return cut and string.sub(error, 1, cut - 1) .. '}' or error
end

local function group_of(id, job, since)
  local key = key_of[by](job)
  local group = groups[key]
  if not group then
    group = { key, id, without_traceback(job[9] or '{}'), 0, 0, since, since, {} }
    groups[key] = group
    order[#order + 1] = group
  end
  return group
end

local following, seen = search(ARGV[2], 'dead', ARGV[3], cmsgpack.unpack(ARGV[4]), tonumber(ARGV[5]), function(id, job)
  local since, type = tonumber(job[2]) or 0, route_of(job[3]).type
  local group = group_of(id, job, since)
  group[4] = group[4] + 1
  if since >= recent then group[5] = group[5] + 1 end
  group[6], group[7] = math.min(group[6], since), math.max(group[7], since)
  group[8][type] = (group[8][type] or 0) + 1
  return true
end, true)
return cmsgpack.pack({ following, seen, order })
