#!lua flags=allow-oom
-- progress: how far running jobs are, and what they say.
--   ARGV     now, worker, msgpack of [id, delivery, fraction or '', text, log lines]*
--   returns  msgpack of [index, word]* for what was refused: LEASE_LOST
--@use moves
local refused, told = {}, {}
for i, item in ipairs(cmsgpack.unpack(ARGV[3])) do
  local id, delivery, share, text, lines = unpack(item)
  local state, n, route, runner = unpack(call('HMGET', job_key(id), 'state', 'n', 'route', 'worker'))
  if state ~= 'running' or tonumber(n) ~= delivery or runner ~= ARGV[2] then
    refused[#refused + 1] = { i - 1, 'LEASE_LOST' }
  else
    if share ~= '' then
      call('HSET', job_key(id), 'progress', share .. ' ' .. text)
      announce(id, route_of(route), 'running', 'progress')
    end
    if #lines > 0 then
      call('HSET', partition_key, 'logs', 1) -- from now on there may be logs to delete
      local over = call('RPUSH', log_key(id), unpack(lines)) - MAX_LOG_LINES
      if over > 0 then
        call('LTRIM', log_key(id), over, -1)
        call('HINCRBY', job_key(id), 'unlogged', over)
      end
      announce(id, route_of(route), 'running', 'log')
    end
  end
end
commit()
return cmsgpack.pack(refused)
