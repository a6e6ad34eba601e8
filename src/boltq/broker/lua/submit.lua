-- submit: new jobs -> queued, or scheduled when they have a time.
--   ARGV     now, msgpack of [id, route, data, spec, delay, run_at, expires_in, expires_at, idempotency key, digest]*
--   returns  msgpack of [index, word, id]* for each that was not created: EXISTS, DUPLICATE, CONFLICT, FULL
--@use claims
local jobs = cmsgpack.unpack(ARGV[2])
local verdicts, depths, made = {}, {}, {} -- made: new jobs by queue

local function waiting_in(queue, list)
  return call('LLEN', list_key(queue, list)) - (tonumber(call('HGET', queue_key(queue), 'ghosts:' .. list)) or 0)
end

-- How many more jobs the queue may take; false when it has no limit.
local function room_in(queue)
  local room = depths[queue]
  if room == nil then
    room = false
    local limit = tonumber(set_of(queue)[2] or stored[4])
    if limit and limit > 0 then
      room = limit - call('ZCARD', index_key(queue, 'scheduled'))
      for priority = 0, 2 do
        room = room - waiting_in(queue, ready_name(priority))
      end
      for _, type in ipairs(call('SMEMBERS', parked_key(queue))) do
        room = room - waiting_in(queue, parked_name(type))
      end
    end
    depths[queue] = room
  end
  return room
end

-- The earlier use of an idempotency key, as a word and the id of its job.
local function earlier_use(key, digest)
  local used = call('GET', idem_key(key))
  if not used then return nil end
  local id, was = string.match(used, '^(%S+) (%S+)$')
  return was == digest and 'DUPLICATE' or 'CONFLICT', id
end

local function create(job, route)
  local id, due = job[1], job[6] > 0 and job[6] or (job[5] > 0 and NOW + job[5] or 0)
  local expires = job[8] > 0 and job[8] or (job[7] > 0 and NOW + job[7] or 0)
  local to, at = 'queued', 'tail'
  if due > NOW then
    to, at = 'scheduled', due
  end
  if job[4] == '' and expires == 0 then
    move(id, route, 'new', to, at, 'route', job[2], 'data', job[3], 'at', NOW)
  elseif expires == 0 then
    move(id, route, 'new', to, at, 'route', job[2], 'data', job[3], 'at', NOW, 'spec', job[4])
  else
    move(id, route, 'new', to, at, 'route', job[2], 'data', job[3], 'at', NOW, 'spec', job[4], 'expires', expires)
  end
  made[route.queue] = (made[route.queue] or 0) + 1
end

for i = 1, #jobs do
  local job = jobs[i]
  local route = route_of(job[2])
  local room = room_in(route.queue)
  local word, id = nil, job[1]
  if call('EXISTS', job_key(id)) == 1 then
    word = 'EXISTS'
  elseif job[9] ~= '' then
    word, id = earlier_use(job[9], job[10])
  end
  if not word and room and room <= 0 then word = 'FULL' end
  if word then
    verdicts[#verdicts + 1] = { i - 1, word, id or job[1] }
  else
    if room then depths[route.queue] = room - 1 end
    if job[9] ~= '' then
      local keep = tonumber(call('HGET', partition_key, 'keep_keys_ms')) or 86400000
      call('SET', idem_key(job[9]), job[1] .. ' ' .. job[10], 'PX', keep)
    end
    create(job, route)
  end
end
for queue, n in pairs(made) do
  call('SADD', queues_key, queue)
  tally(queue, 'submitted', n)
end
commit()
return cmsgpack.pack(verdicts)
