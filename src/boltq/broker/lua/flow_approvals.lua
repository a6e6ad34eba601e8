#!lua flags=no-writes
-- flow_approvals: steps of all workflows that wait for a person, those that have waited longest first.
--   ARGV     now, cursor ('' for the first page), how many, bytes that prompts may have together
--   returns  msgpack of [next cursor or '', ApprovalRow*]
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
  local name, paused = unpack(call('HMGET', flow_key(id), 'name', 'paused'))
  local job_id = call('HGET', flow_key(id, 'jobs'), n)
  local info = call('HGET', flow_key(id, 'steps'), n)
  local own_key = job_key(job_id or '')
  local state, phase, due, left = unpack(call('HMGET', own_key, 'state', 'phase', 'due', 'left'))
  if not (name and info and flow.is_asking(state, phase)) then return nil end
  local prompt, cut = read_within(budget, own_key, 'prompt')
  return ApprovalRow{
    workflow_id = id, workflow = name, paused = paused and 1 or 0, step = cmsgpack.unpack(info)[StepInfoRow.id], job_id = job_id,
    prompt = prompt, due_at = not left and tonumber(due) or 0, since = tonumber(since), truncated = cut and 1 or 0,
  }
end

local at = begins_at()
local page = call('ZRANGE', asking_key, at, at + most - 1, 'WITHSCORES')
for i = 1, #page, 2 do
  rows[#rows + 1] = row_of(page[i], page[i + 1])
end
local more = #page == 2 * most
return cmsgpack.pack({ more and (page[#page] .. ' ' .. page[#page - 1]) or '', rows })
