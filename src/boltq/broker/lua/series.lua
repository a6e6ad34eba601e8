#!lua flags=no-writes
-- series: what happened lately, in buckets of time.
--   ARGV     now, seconds a bucket, first bucket, last bucket (unix seconds), msgpack of the fields to read, "queue what",
--            what being submitted, completed, failed, dead, cancelled, replayed; or of none: all queues together, and
--            wait:<n>, run:<n> (how many waited, or ran, for less than 2^n ms)
--   returns  msgpack of [bucket, [field, number]*]*; of all queues together a field is only what
--@use reading, moves
local seconds, rows, wanted = tonumber(ARGV[2]), {}, cmsgpack.unpack(ARGV[5])

local function all_of(bucket)
  local flat, fields = call('HGETALL', totals_key(seconds, bucket)), {}
  for i = 1, #flat, 2 do
    fields[#fields + 1] = { flat[i], tonumber(flat[i + 1]) }
  end
  return fields
end

local function some_of(bucket)
  local fields, key = {}, series_key(seconds, bucket)
  if call('EXISTS', key) == 0 then return fields end
  for i = 1, #wanted, MOST_ARGUMENTS do
    local numbers = call('HMGET', key, unpack(wanted, i, math.min(#wanted, i + MOST_ARGUMENTS - 1)))
    for k = 1, #numbers do
      if numbers[k] then fields[#fields + 1] = { wanted[i + k - 1], tonumber(numbers[k]) } end
    end
  end
  return fields
end

for bucket = tonumber(ARGV[3]), tonumber(ARGV[4]), seconds do
  local fields = (#wanted > 0 and some_of or all_of)(bucket)
  if #fields > 0 and #rows < 1000 then rows[#rows + 1] = { bucket, fields } end
end
return cmsgpack.pack(rows)
