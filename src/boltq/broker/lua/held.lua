#!lua flags=allow-oom
-- held: what a worker holds as the store sees it, and the letters that it has not read: by this it finds runs whose
-- claim's answer was lost on the way. The letters are taken out.
--   ARGV     now, worker
--   returns  msgpack of [letter*, [id, delivery]*]
--@use keys
local held, letters = {}, call('LRANGE', mail_key(ARGV[2]), 0, -1)
for queue in string.gmatch(call('HGET', worker_key(ARGV[2]), 'queues') or '', '%S+') do
  local cursor = '0'
  repeat
    local page = call('SSCAN', index_key(queue, 'running'), cursor, 'COUNT', 500)
    cursor = page[1]
    for _, id in ipairs(page[2]) do
      local job = call('HMGET', job_key(id), 'worker', 'n')
      if job[1] == ARGV[2] then held[#held + 1] = { id, tonumber(job[2]) or 0 } end
    end
  until cursor == '0' or #held >= 5000
end
if #letters > 0 then call('DEL', mail_key(ARGV[2])) end
return { letters, cmsgpack.pack(held) }
