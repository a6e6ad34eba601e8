#!lua flags=no-writes
-- list: one page of the jobs of a queue in one state: queued as they will run, scheduled and retrying the soonest
-- first, all others the newest first.
--   ARGV     now, queue, state, cursor ('' for the first page), msgpack of marks (see JobFilter), how many to look at
--            at most, how many to list
--   returns  msgpack of [next cursor or '', how many were looked at, row*]
--@use search
local rows, most = {}, tonumber(ARGV[7])
local following, seen = search(ARGV[2], ARGV[3], ARGV[4], cmsgpack.unpack(ARGV[5]), tonumber(ARGV[6]), function(id)
  rows[#rows + 1] = read_job(id, JobRow.spec)
  return #rows < most
end)
return cmsgpack.pack({ following, seen, rows })
