#!lua flags=allow-oom
-- progress: how far running jobs are, and what they say.
--   ARGV     now, worker, msgpack of [id, delivery, fraction or '', text, log lines]*
--   returns  msgpack of [index, word]* for what was refused: LEASE_LOST
--@use moves
local refused, told = {}, {}
for i, item in ipairs(cmsgpack.unpack(ARGV[3])) do
  local id = item[1]
  local job = call('HMGET', job_key(id), 'state', 'n', 'route', 'worker')
  if job[1] ~= 'running' or tonumber(job[2]) ~= item[2] or job[4] ~= ARGV[2] then
    refused[#refused + 1] = { i - 1, 'LEASE_LOST' }
  else
    if item[3] ~= '' then
      call('HSET', job_key(id), 'progress', item[3] .. ' ' .. item[4])
      announce(id, route_of(job[3]), 'running', 'progress')
    end
    if #item[5] > 0 then
      call('HSET', partition_key, 'logs', 1) -- from now on there may be logs to delete
      local over = call('RPUSH', log_key(id), unpack(item[5])) - MAX_LOG_LINES
      if over > 0 then
        call('LTRIM', log_key(id), over, -1)
        call('HINCRBY', job_key(id), 'unlogged', over)
      end
      announce(id, route_of(job[3]), 'running', 'log')
    end
  end
end
commit()
return cmsgpack.pack(refused)
