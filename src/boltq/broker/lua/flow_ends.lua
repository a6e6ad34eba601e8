#!lua flags=no-writes
-- flow_ends: how steps of a workflow ended, with their results: what its output is made of.
--   ARGV     now, id, msgpack of the steps' numbers, how many bytes of results it may read
--   returns  msgpack of [number, state, result, error, [total, good, bad, gone] of a map]*; only a number of bytes, when
--            it would be more than that
--@use reading
local id, numbers, rows, bytes = ARGV[2], cmsgpack.unpack(ARGV[3]), {}, 0
for _, n in ipairs(numbers) do
  bytes = bytes + call('HSTRLEN', flow_key(id, 'results'), n) + call('HSTRLEN', flow_key(id, 'errors'), n)
end
if bytes > tonumber(ARGV[4]) then return cmsgpack.pack(bytes) end

for i, n in ipairs(numbers) do
  local ends = call('HGET', flow_key(id, 'ends'), n)
  local total, counts = call('HGET', flow_key(id, 'map:' .. n), 'total'), {}
  if total then
    counts = { tonumber(total) }
    for _, part in ipairs({ 'good', 'bad', 'gone' }) do
      counts[#counts + 1] = call('SCARD', flow_key(id, 'map:' .. n .. ':' .. part))
    end
  end
  rows[i] = {
    n, ends and string.match(ends, '^%a+') or 'pending', call('HGET', flow_key(id, 'results'), n) or '',
    call('HGET', flow_key(id, 'errors'), n) or '', counts,
  }
end
return cmsgpack.pack(rows)
