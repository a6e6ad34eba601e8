#!lua flags=no-writes
-- flow_ends: how steps of a workflow ended, with their results: what its output is made of.
--   ARGV     now, id, msgpack of the steps' numbers
--   returns  msgpack of [number, state, result, error, [total, good, bad, gone] of a map]*
--@use reading
local id, rows = ARGV[2], {}
for i, n in ipairs(cmsgpack.unpack(ARGV[3])) do
  local ends = call('HGET', flow_key(id, 'ends'), n)
  local total, numbers = call('HGET', flow_key(id, 'map:' .. n), 'total'), {}
  if total then
    numbers = { tonumber(total) }
    for _, part in ipairs({ 'good', 'bad', 'gone' }) do
      numbers[#numbers + 1] = call('SCARD', flow_key(id, 'map:' .. n .. ':' .. part))
    end
  end
  rows[i] = {
    n, ends and string.match(ends, '^%a+') or 'pending', call('HGET', flow_key(id, 'results'), n) or '',
    call('HGET', flow_key(id, 'errors'), n) or '', numbers,
  }
end
return cmsgpack.pack(rows)
