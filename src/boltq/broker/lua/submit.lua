-- submit: new jobs -> queued, or scheduled when they have a time.
--   ARGV     now, msgpack of NewJobRow*
--   returns  msgpack of [[index, word, id]* for each that was not created: EXISTS, DUPLICATE, CONFLICT, FULL, QUEUES
--            (its queue would be one too many); FORGOTTEN
--            (instead of the id: now): a job with this old id may have been there, and be gone; then [seq, era, alarmed]]
--@use births, memory, finish
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
  local id, route, _, _, _, _, _, _, key, digest, _, _ = NewJobRow(job)
  local path, word, about = route_of(route), nil, id
  if call('EXISTS', job_key(id)) == 1 then
    word = 'EXISTS'
  elseif key ~= '' then
    word, about = earlier_use(key, digest)
  end
  word = word or memory.word(id)
  if word == 'FORGOTTEN' then about = string.format('%d', NOW) end
  if not word then word = is_full(path.queue) end
  if word then
    verdicts[#verdicts + 1] = { i - 1, word, about or id }
  else
    if key ~= '' then
      local keep = knob('keep_keys_ms')
      call('SET', idem_key(key), id .. ' ' .. digest, 'PX', keep)
    end
    create(job, path)
    if key ~= '' then call('HSET', job_key(id), 'key', key) end -- to free it with the job: see delete.lua
  end
end
finish()
return cmsgpack.pack({ verdicts, history.mark() })
