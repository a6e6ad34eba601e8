-- submit: new jobs -> queued, or scheduled when they have a time.
--   ARGV     now, msgpack of [id, route, data, spec, delay, run_at, expires_in, expires_at, idempotency key, digest,
--            and only where there are any: tags, who]*
--   returns  msgpack of [[index, word, id]* for each that was not created: EXISTS, DUPLICATE, CONFLICT, FULL, QUEUES
--            (its queue would be one too many); FORGOTTEN
--            (instead of the id: now): a job with this old id may have been there, and be gone; then [seq, era, alarmed]]
--@use births, memory
local jobs = cmsgpack.unpack(ARGV[2])
local verdicts = {}

-- The earlier use of an idempotency key, as a word and the id of its job.
local function earlier_use(key, digest)
  local used = call('GET', idem_key(key))
  if not used then return nil end
  local id, was = string.match(used, '^(%S+) (%S+)$')
  return was == digest and 'DUPLICATE' or 'CONFLICT', id
end

for i = 1, #jobs do
  local job = jobs[i]
  local route = route_of(job[2])
  local word, id = nil, job[1]
  if call('EXISTS', job_key(id)) == 1 then
    word = 'EXISTS'
  elseif job[9] ~= '' then
    word, id = earlier_use(job[9], job[10])
  end
  word = word or memory.word(job[1])
  if word == 'FORGOTTEN' then id = string.format('%d', NOW) end
  if not word then word = is_full(route.queue) end
  if word then
    verdicts[#verdicts + 1] = { i - 1, word, id or job[1] }
  else
    if job[9] ~= '' then
      local keep = tonumber(call('HGET', partition_key, 'keep_keys_ms')) or 86400000
      call('SET', idem_key(job[9]), job[1] .. ' ' .. job[10], 'PX', keep)
    end
    create(job, route)
    if job[9] ~= '' then call('HSET', job_key(job[1]), 'key', job[9]) end -- to free it with the job: see delete.lua
  end
end
count_births()
commit()
return cmsgpack.pack({ verdicts, history.mark() })
