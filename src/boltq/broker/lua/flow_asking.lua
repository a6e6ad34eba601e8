#!lua flags=no-writes
-- flow_asking: steps of all workflows that wait for a person, those that have waited longest first.
--   ARGV     now, cursor ('' for the first page), how many, bytes that prompts may have together
--   returns  msgpack of [next cursor or '', [id, name, 1 when paused, step, job, prompt, until when or 0, since when,
--            1 when the prompt was left out]*]
--@use reading
local score, last = string.match(ARGV[2], '^(%d+) (%S+ %d+)$')
local most, budget, rows = tonumber(ARGV[3]), { left = tonumber(ARGV[4]) }, {}
local asking_key = flows_key('asking')

local function begins_at()
  local rank = last and call('ZRANK', asking_key, last)
  if rank then return rank + 1 end
  return score and call('ZCOUNT', asking_key, '-inf', '(' .. score) or 0
end

local function row_of(member, since)
  local id, n = string.match(member, '^(%S+) (%d+)$')
  local head = call('HMGET', flow_key(id), 'name', 'paused')
  local job_id = call('HGET', flow_key(id, 'jobs'), n)
  local step = call('HGET', flow_key(id, 'steps'), n)
  local own_key = job_key(job_id or '')
  local job = call('HMGET', own_key, 'state', 'phase', 'due', 'left')
  if not (head[1] and step and job[2] == 'ask' and (job[1] == 'blocked' or job[1] == 'scheduled')) then return nil end
  local prompt, cut = read_within(budget, own_key, 'prompt')
  local due = not job[4] and tonumber(job[3]) or 0
  return { id, head[1], head[2] and 1 or 0, cmsgpack.unpack(step)[1], job_id, prompt, due, tonumber(since), cut and 1 or 0 }
end

local at = begins_at()
local page = call('ZRANGE', asking_key, at, at + most - 1, 'WITHSCORES')
for i = 1, #page, 2 do
  rows[#rows + 1] = row_of(page[i], page[i + 1])
end
local more = #page == 2 * most
return cmsgpack.pack({ more and (page[#page] .. ' ' .. page[#page - 1]) or '', rows })
