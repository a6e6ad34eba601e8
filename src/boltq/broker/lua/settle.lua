#!lua flags=allow-oom
-- settle: running -> completed, retrying, dead, scheduled (snoozed), queued (released) or cancelled; then claims.
--   ARGV     now, worker, msgpack of [id, delivery, verb, took, number, text, data or '']*, n to claim, which queue comes first,
--            number of the call (see claim)
--            verbs: completed (text: result), retrying (number: delay, text: error), dead (text: error),
--            snoozed (number: delay), released (text: how a run is noted that had begun, or ''), cancelled
--            (text: reason), dropped: cancelled before it began (text: reason). data: a step's, its references filled in
--   returns  msgpack of [[index, word]* for what was refused: LEASE_LOST, NOT_FOUND; then what claim returns]
--@use claims, prune, runs, flow_go_on
local outcomes = cmsgpack.unpack(ARGV[3])
local refused, ended = {}, { completed = {}, dead = {}, cancelled = {} }

local function count(route, state)
  local by_queue = ended[state]
  by_queue[route.queue] = (by_queue[route.queue] or 0) + 1
end

local settle = {}

function settle.completed(id, route, job, outcome)
  move(id, route, 'running', 'completed', nil, 'result', outcome[6], 'took', outcome[4], 'tries', (job[4] or 0) + 1)
  time(route, 'run', outcome[4])
  count(route, 'completed')
end

function settle.cancelled(id, route, job, outcome)
  note_run(id, 'cancelled')
  settle.dropped(id, route, job, outcome)
end

function settle.dropped(id, route, _, outcome)
  move(id, route, 'running', 'cancelled', NOW, 'reason', outcome[6] or 'cancelled', 'took', outcome[4])
  count(route, 'cancelled')
end

-- What would run again does not, when somebody asked to cancel it meanwhile.
local function unless_cancelled(verb)
  return function(id, route, job, outcome)
    if job[5] then return settle.cancelled(id, route, job, { id, 0, '', outcome[4], 0, 'cancelled' }) end
    return verb(id, route, job, outcome)
  end
end

settle.retrying = unless_cancelled(function(id, route, job, outcome)
  note_run(id, 'failed', outcome[6])
  move(id, route, 'running', 'retrying', NOW + outcome[5], 'error', outcome[6], 'took', outcome[4], 'tries', (job[4] or 0) + 1, 'lost', 0)
  tally(route.queue, 'failed', 1)
end)

function settle.dead(id, route, job, outcome)
  note_run(id, 'failed', outcome[6])
  move(id, route, 'running', 'dead', NOW, 'error', outcome[6], 'took', outcome[4], 'tries', (job[4] or 0) + 1, 'lost', 0)
  tally(route.queue, 'failed', 1)
  count(route, 'dead')
end

settle.snoozed = unless_cancelled(function(id, route, _, outcome)
  note_run(id, 'snoozed')
  move(id, route, 'running', 'scheduled', NOW + outcome[5], 'lost', 0)
end)

function settle.released(id, route, job, outcome)
  local began = outcome[6] and outcome[6] ~= ''
  local ends = { id, 0, '', outcome[4], 0, 'cancelled' }
  if job[5] then return (began and settle.cancelled or settle.dropped)(id, route, job, ends) end
  if began then note_run(id, outcome[6]) end
  move(id, route, 'running', 'queued', 'head')
end

-- A step of a workflow: what follows when it has ended; or it does not run again, when its workflow is being stopped.
local function tell_flow(id, job, outcome)
  local verb, text = outcome[3] == 'dropped' and 'cancelled' or outcome[3], outcome[6]
  if verb == 'completed' or verb == 'dead' or verb == 'cancelled' then
    local tries = (job[4] or 0) + (verb == 'cancelled' and 0 or 1)
    local run = string.format(' %d %d %d - %s', tries, outcome[2], NOW - outcome[4], ARGV[2])
    local inputs = outcome[7] and outcome[7] ~= '' and outcome[7]
    flow.ended(job[6], id, verb, verb == 'completed' and text, verb == 'dead' and text, run, inputs)
  elseif job[5] then
    flow.ended(job[6], id, 'cancelled')
  else
    flow.again(job[6])
  end
end

holds.by(ARGV[2])

-- Backwards: what is released goes to the head of its queue, the first one last, so that it stays the first.
for i = #outcomes, 1, -1 do
  local outcome = outcomes[i]
  local id = outcome[1]
  local job = call('HMGET', job_key(id), 'state', 'n', 'route', 'tries', 'cancel', 'flow', 'worker')
  if not job[1] then
    refused[#refused + 1] = { i - 1, 'NOT_FOUND' }
  elseif job[1] ~= 'running' or tonumber(job[2]) ~= outcome[2] or job[7] ~= ARGV[2] then
    refused[#refused + 1] = { i - 1, 'LEASE_LOST' }
  else
    settle[outcome[3]](id, route_of(job[3]), job, outcome)
    if outcome[7] and outcome[7] ~= '' then call('HSET', job_key(id), 'data', outcome[7]) end
    if job[6] then tell_flow(id, job, outcome) end
  end
end
flush()
flow.carry_on()
flow.go_on()

for state, by_queue in pairs(ended) do
  for queue, n in pairs(by_queue) do
    call('HINCRBY', queue_key(queue), state, n)
    tally(queue, state, n)
    prune(queue, state)
  end
end

local reply = claim(ARGV[2], tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6])
commit()
tell_cancels()
return cmsgpack.pack({ refused, unpack(told(ARGV[2], reply)) })
