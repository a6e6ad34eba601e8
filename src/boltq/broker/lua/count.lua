#!lua flags=no-writes
-- count: how many jobs of a queue and state fit a filter.
--   ARGV     now, queue, state, cursor ('' to begin), msgpack of marks (see JobFilter), how many to look at at most
--   returns  msgpack of [next cursor or '', how many were looked at, how many of those fit]
--@use search
local fitting = 0
local following, seen = search(ARGV[2], ARGV[3], ARGV[4], cmsgpack.unpack(ARGV[5]), tonumber(ARGV[6]), function()
  fitting = fitting + 1
  return true
end)
return cmsgpack.pack({ following, seen, fitting })
