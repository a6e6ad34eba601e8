#!lua flags=no-writes
-- held: what a worker holds as the store sees it, to find runs whose claim's answer was lost on the way.
--   ARGV     now, worker
--   returns  msgpack of [id, delivery]*
--@use reading
local rows = {}
for queue in string.gmatch(call('HGET', worker_key(ARGV[2]), 'queues') or '', '%S+') do
  local cursor = '0'
  repeat
    local page = call('HSCAN', index_key(queue, 'running'), cursor, 'COUNT', 500)
    cursor = page[1]
    for i = 1, #page[2], 2 do
      if page[2][i + 1] == ARGV[2] then
        rows[#rows + 1] = { page[2][i], tonumber(call('HGET', job_key(page[2][i]), 'n')) or 0 }
      end
    end
  until cursor == '0' or #rows >= 1000
end
return cmsgpack.pack(rows)
