#!lua flags=no-writes
-- series: what happened lately, in buckets of time.
--   ARGV     now, seconds a bucket, first bucket, last bucket (unix seconds)
--   returns  msgpack of [bucket, [field, number]*]*; a field is "queue what", what being submitted, completed, failed,
--            dead, cancelled, replayed, wait:<n> or run:<n> (took less than 2^n ms)
--@use reading
local seconds, rows = tonumber(ARGV[2]), {}
for bucket = tonumber(ARGV[3]), tonumber(ARGV[4]), seconds do
  local flat = call('HGETALL', series_key(seconds, bucket))
  if #flat > 0 and #rows < 1000 then
    local fields = {}
    for i = 1, #flat, 2 do
      fields[#fields + 1] = { flat[i], tonumber(flat[i + 1]) }
    end
    rows[#rows + 1] = { bucket, fields }
  end
end
return cmsgpack.pack(rows)
