#!lua flags=no-writes
-- pick: which jobs fit a filter, and since when each stands where it stands.
--   ARGV     now, queue, state, cursor ('' to begin), msgpack of marks (see JobFilter), how many to look at at most
--   returns  msgpack of [next cursor or '', how many were looked at, [id, since]*]
--@use search
local picked = {}
local following, seen = search(ARGV[2], ARGV[3], ARGV[4], cmsgpack.unpack(ARGV[5]), tonumber(ARGV[6]), function(id, job)
  picked[#picked + 1] = { id, tonumber(job[SoughtJob.since]) or 0 }
  return true
end)
return cmsgpack.pack({ following, seen, picked })
