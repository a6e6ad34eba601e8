#!lua flags=allow-oom
-- settle: running -> completed, retrying, dead, scheduled (snoozed), queued (released) or cancelled; then claims.
--   ARGV     now, worker, msgpack of Settling*, n to claim, which queue comes first,
--            number of the call (see claim)
--            verbs: completed (text: result), retrying (number: delay, text: error), dead (text: error),
--            snoozed (number: delay), released (text: how a run is noted that had begun, or ''), cancelled
--            (text: reason), dropped: cancelled before it began (text: reason). data: a step's, its references filled in
--   returns  msgpack of [[index, word]* for what was refused: LEASE_LOST, NOT_FOUND; then what claim returns]
--@use claims, prune, runs, flow_go_on, finish
local worker, outcomes, claim_number = ARGV[2], cmsgpack.unpack(ARGV[3]), ARGV[6]
local most, first_queue = tonumber(ARGV[4]), tonumber(ARGV[5])
local refused = {}

local settle = {} -- verb -> what it does; `tries`: runs that counted before this one

function settle.completed(id, route, tries, took, text)
  move(id, route, 'running', 'completed', nil, 'result', text, 'took', took, 'tries', tries + 1)
  time(route, 'run', took)
end

function settle.cancelled(id, route, _, took, text)
  note_run(id, 'cancelled')
  settle.dropped(id, route, 0, took, text)
end

function settle.dropped(id, route, _, took, text)
  move(id, route, 'running', 'cancelled', NOW, 'reason', text, 'took', took)
end

function settle.retrying(id, route, tries, took, text, delay)
  note_run(id, 'failed', text)
  move(id, route, 'running', 'retrying', NOW + delay, 'error', text, 'took', took, 'tries', tries + 1, 'lost', 0)
  tally(route.queue, 'failed', 1)
end

function settle.dead(id, route, tries, took, text)
  note_run(id, 'failed', text)
  move(id, route, 'running', 'dead', NOW, 'error', text, 'took', took, 'tries', tries + 1, 'lost', 0)
  tally(route.queue, 'failed', 1)
end

function settle.snoozed(id, route, _, _, _, delay)
  note_run(id, 'snoozed')
  move(id, route, 'running', 'scheduled', NOW + delay, 'lost', 0)
end

function settle.released(id, route, _, _, text)
  if text ~= '' then note_run(id, text) end
  move(id, route, 'running', 'queued', 'head')
end

-- What would run again does not, when somebody asked to cancel it meanwhile: the verb that takes its place, and its text.
local function unless_cancelled(verb, text)
  if verb == 'retrying' or verb == 'snoozed' then return 'cancelled', 'cancelled' end
  if verb == 'released' then return text ~= '' and 'cancelled' or 'dropped', 'cancelled' end
  return verb, text
end

local LAST = { completed = 1, dead = 1, cancelled = 0, dropped = 0 } -- verbs of last runs -> by how much `tries` grows

-- How the run of a step went that ends now; nil if it would run again, as far as its worker knows.
local function run_of(delivery, verb, took, tries)
  if LAST[verb] then return string.format(' %d %d %d - %s', tries + LAST[verb], delivery, NOW - took, worker) end
end

holds.by(worker)

-- Backwards: what is released goes to the head of its queue, the first one last, so that it stays the first.
for i = #outcomes, 1, -1 do
  local outcome = outcomes[i]
  local id, delivery, verb, took, number, text, data = Settling(outcome)
  local state, n, route, tries, cancel, place, runner = unpack(
    call('HMGET', job_key(id), 'state', 'n', 'route', 'tries', 'cancel', 'flow', 'worker')
  )
  if not state then
    refused[#refused + 1] = { i - 1, 'NOT_FOUND' }
  elseif state ~= 'running' or tonumber(n) ~= delivery or runner ~= worker then
    refused[#refused + 1] = { i - 1, 'LEASE_LOST' }
  else
    tries = tries or 0
    if data ~= '' then call('HSET', job_key(id), 'data', data) end
    if place then
      local run = run_of(delivery, verb, took, tries)
      places.note(id, place, run, run and data ~= '' and data)
    end
    if cancel then
      verb, text = unless_cancelled(verb, text)
    end
    settle[verb](id, route_of(route), tries, took, text, number)
  end
end
flush()
local histories = {} -- where outcomes have ended jobs; what workflows end from here on, the sweep prunes
for there in pairs(ended or {}) do
  histories[#histories + 1] = there
end
flow.carry_on()
flow.go_on()
for _, there in ipairs(histories) do
  prune(unpack(words(there)))
end

local reply = claim(worker, most, first_queue, claim_number)
finish()
return cmsgpack.pack({ refused, unpack(told(worker, reply)) })
