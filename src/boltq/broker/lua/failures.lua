#!lua flags=no-writes
-- failures: the dead jobs of a queue, gathered by what went wrong.
--   ARGV     now, queue, cursor ('' to begin), msgpack of marks (see JobFilter), how many to look at at most,
--            by fingerprint, type or queue, from when on they count as recent
--   returns  msgpack of [next cursor or '', how many were looked at, FailureGroupRow*]
--@use search
local by, recent = ARGV[6], tonumber(ARGV[7])
local groups, order = {}, {}

local key_of = {}
function key_of.fingerprint(job) return said(job[SoughtJob.error], 'fingerprint') end
function key_of.type(job) return route_of(job[SoughtJob.route]).type end
function key_of.queue() return ARGV[2] end

local function without_traceback(error)
  local cut = string.find(error, ',"traceback":"', 1, true)
  return cut and string.sub(error, 1, cut - 1) .. '}' or error
end

local function group_of(id, job, since)
  local key = key_of[by](job)
  local group = groups[key]
  if not group then
    local error = without_traceback(job[SoughtJob.error] or '{}')
    group = { key = key, sample = id, error = error, count = 0, recent = 0, first_at = since, last_at = since, types = {} }
    groups[key] = group
    order[#order + 1] = group
  end
  return group
end

local following, seen = search(ARGV[2], 'dead', ARGV[3], cmsgpack.unpack(ARGV[4]), tonumber(ARGV[5]), function(id, job)
  local since, type = tonumber(job[SoughtJob.since]) or 0, route_of(job[SoughtJob.route]).type
  local group = group_of(id, job, since)
  group.count = group.count + 1
  if since >= recent then group.recent = group.recent + 1 end
  group.first_at, group.last_at = math.min(group.first_at, since), math.max(group.last_at, since)
  group.types[type] = (group.types[type] or 0) + 1
  return true
end, true)
for i, group in ipairs(order) do
  order[i] = FailureGroupRow{
    key = group.key, sample = group.sample, error = group.error, count = group.count, recent = group.recent,
    first_at = group.first_at, last_at = group.last_at, types = group.types,
  }
end
return cmsgpack.pack({ following, seen, order })
