--@use moves, mail, look
-- Taking jobs for a worker, and handing jobs that became ready to a worker that sleeps.
local MOST = 1000 -- ids looked at in one call; one that is parked counts twice
local budget, bytes -- how many ids this call may still look at; how many bytes of data it may still bring
local parked_now -- queues with a parked job that has just come, or come back: some sleeper may know its type

local queue_sets -- queue -> its paused and limit
local sleepers, asked -- worker -> what this call knows of it, or false; how many were asked

local function begin_claims()
  budget, bytes, parked_now, queue_sets = MOST, MAX_CALL_BYTES, {}, {}
  sleepers, asked = {}, 0
end

local function set_of(queue)
  local set = queue_sets[queue]
  if not set then
    local paused, limit = unpack(call('HMGET', queue_key(queue), 'paused', 'limit'))
    set = { paused = paused, limit = limit }
    queue_sets[queue] = set
  end
  return set
end

local function is_paused(queue) return set_of(queue).paused == '1' end

local function knows(worker, type)
  local known = worker.knows[type]
  if known == nil then
    known = worker.types == '*' or string.find(worker.types, ' ' .. type .. ' ', 1, true) ~= nil
    worker.knows[type] = known
  end
  return known
end

-- How many jobs wait in the parked lists of a queue. Whoever puts one there or takes it away counts it.
local function count_parked(queue, by) call('HINCRBY', queue_key(queue), 'parked', by) end

local function drop_ghost(id, queue, list)
  count_ghost(queue, list, -1)
  local left, found = without_ghost(call('HGET', job_key(id), 'ghost'), list)
  if found then set_ghosts(id, left) end
end

local SHORT, MOST_GHOSTS = 1000, 8 -- ids of a list that is searched at once; ghosts of one job

-- Takes the id of a queued job out of the list in which it waits: a short list is searched, in a long one it stays as a
-- ghost. Answers what the job's field `ghost` has to be then.
local function withdraw(id, route, parked, ghosts)
  local list = standing(route, parked)
  local key = list_key(route.queue, list)
  if parked then count_parked(route.queue, -1) end
  if call('LLEN', key) > SHORT and #words(ghosts or '') < MOST_GHOSTS then
    count_ghost(route.queue, list, 1)
    return with_ghost(ghosts, list)
  end
  call('LREM', key, 1, id)
  if parked and call('EXISTS', key) == 0 then call('ZREM', parked_key(route.queue), route.type) end
  return ghosts
end

-- A type that this worker does not know: it waits for one that does.
local function park(id, route)
  push(noted('RPUSH', list_key(route.queue, parked_name(route.type))), id)
  call('HSET', job_key(id), 'parked', 1)
  call('ZADD', parked_key(route.queue), 0, route.type)
  count_parked(route.queue, 1)
  parked_now[route.queue] = true
  readied[route.queue] = true
end

local function expire(id, route)
  move(id, route, 'queued', 'cancelled', NOW, 'reason', 'expired')
  call('HDEL', job_key(id), 'parked')
end

-- `row`: a ClaimedJob, but for what look brings.
local function run(worker, route, row, jobs)
  local id, _, _, spec, delivery, attempts, waited, _, _, _ = ClaimedJob(row)
  move(id, route, 'queued', 'running', nil, 'n', delivery, 'worker', worker.id)
  time(route, 'wait', waited)
  if spec ~= '' and string.find(spec, '"step":true', 1, true) then row[ClaimedJob.look] = look.ahead(id) end
  jobs[#jobs + 1] = row
  if delivery - 1 > attempts then worker.suspect = (tonumber(call('HGET', job_key(id), 'lost')) or 0) > 0 end
end

-- Returns true if a job with these data fits into this call: the first job always does.
local function fits_in(data)
  local is_first = bytes == MAX_CALL_BYTES
  bytes = bytes - #data
  if bytes < 0 then budget = 0 end
  return bytes >= 0 or is_first
end

local function put_back(key, ids, from)
  for i = #ids, from, -1 do
    call('LPUSH', key, ids[i])
  end
end

-- Up to n jobs from one list. Ids that turn out to be ghosts, or of jobs that are expired or of an unknown type do not count.
-- A suspect, whose worker was lost, ends the claim: if it is poison, it shall not take others down with it.
local function take(worker, queue, list, n, jobs)
  local key, first = list_key(queue, list), #jobs
  local unparked = 0
  while n > #jobs - first and budget > 0 and not worker.suspect do
    local asked = math.min(n - (#jobs - first), budget)
    local ids = call('LPOP', key, asked)
    if not ids then break end
    budget = budget - #ids
    for i = 1, #ids do
      local id = ids[i]
      local state, path, data, spec, n, tries, since, expires, parked = unpack(
        call('HMGET', job_key(id), 'state', 'route', 'data', 'spec', 'n', 'tries', 'since', 'expires', 'parked')
      )
      local route = path and route_of(path)
      local waits = state == 'queued' and list == standing(route, parked)
      local expired = waits and expires and tonumber(expires) <= NOW
      local suits = waits and not expired and knows(worker, route.type)
      if suits and not fits_in(data) then
        put_back(key, ids, i)
        break
      end
      if waits and parked then unparked = unparked + 1 end
      if not waits then
        drop_ghost(id, queue, list)
      elseif expired then
        expire(id, route)
      elseif not suits then
        park(id, route)
        budget = budget - 1
      else
        local row = ClaimedJob{
          id = id, route = path, data = data, spec = spec or '', delivery = (n or 0) + 1, attempts = tonumber(tries) or 0,
          waited = math.max(0, NOW - since),
        }
        run(worker, route, row, jobs)
        if list ~= route.list then call('HDEL', job_key(id), 'parked') end
        if worker.suspect then
          put_back(key, ids, i + 1)
          break
        end
      end
    end
    if #ids < asked then break end -- that was all
  end
  if unparked > 0 then count_parked(queue, -unparked) end
  return #jobs - first
end

local function promote_state(queue, state)
  local key = index_key(queue, state)
  local due = call('ZRANGE', key, '-inf', NOW, 'BYSCORE', 'LIMIT', 0, math.min(budget, MAX_PROMOTED))
  for i = 1, #due do
    local text = call('HGET', job_key(due[i]), 'route')
    if text then
      move(due[i], route_of(text), state, 'queued', 'tail')
    else
      push(noted('ZREM', key), due[i])
    end
  end
  budget = budget - #due
  return #due > 0
end

-- scheduled, retrying -> queued: what is due.
local function promote(queue)
  local retrying = promote_state(queue, 'retrying')
  local scheduled = promote_state(queue, 'scheduled')
  if retrying or scheduled then flush() end
end

local FEW_TYPES = 50

-- Parked types of a queue that a worker knows; of many only some.
local function parked_types(worker, queue)
  local key = parked_key(queue)
  if worker.types == '*' or call('ZCARD', key) <= FEW_TYPES then return call('ZRANGE', key, 0, FEW_TYPES - 1) end
  local known, found = words(worker.types), {}
  for i = 1, #known, MOST do
    local scores = call('ZMSCORE', key, unpack(known, i, math.min(#known, i + MOST - 1)))
    for k = 1, #scores do
      if scores[k] and #found < FEW_TYPES then found[#found + 1] = known[i + k - 1] end
    end
  end
  return found
end

local function take_parked(worker, queue, n, jobs)
  local taken, went_on = 0, true
  while went_on and taken < n and budget > 0 and not worker.suspect do
    went_on = false
    for _, type in ipairs(parked_types(worker, queue)) do
      if taken < n and budget > 0 and knows(worker, type) then
        taken = taken + take(worker, queue, parked_name(type), n - taken, jobs)
        if call('EXISTS', list_key(queue, parked_name(type))) == 0 then
          call('ZREM', parked_key(queue), type)
          went_on = true
        end
      end
    end
  end
  return taken
end

-- How long the first of a list has waited; ghosts that hide it are dropped.
local function head_waited(queue, priority)
  local list = ready_name(priority)
  while budget > 0 do
    local id = call('LINDEX', list_key(queue, list), 0)
    if not id then return 0 end
    local state, since, route, parked = unpack(call('HMGET', job_key(id), 'state', 'since', 'route', 'parked'))
    if state == 'queued' and list == standing(route_of(route), parked) then return NOW - since end
    call('LPOP', list_key(queue, list))
    drop_ghost(id, queue, list)
    budget = budget - 1
  end
  return 0
end

-- Of four jobs that are claimed, one goes to each lower class whose head has waited longer than the bound: the first
-- of the four to the low one, the third to the normal one.
local function take_overdue(worker, queue, n, jobs)
  local patience = tonumber(stored.patience)
  local first, turn = #jobs, nil
  for priority = 0, 1 do
    if head_waited(queue, priority) > patience then
      turn = turn or call('HINCRBY', queue_key(queue), 'turn', n)
      local at = turn + 2 * priority
      local share = math.min(math.floor(at / 4) - math.floor((at - n) / 4), n - (#jobs - first))
      if share > 0 then take(worker, queue, ready_name(priority), share, jobs) end
    end
  end
end

-- queued -> running: up to n jobs of one queue, high before normal before low.
local function claim_from(worker, queue, n, jobs)
  if is_paused(queue) then return end
  if call('EXISTS', index_key(queue, 'scheduled'), index_key(queue, 'retrying'), parked_key(queue)) > 0 then
    promote(queue)
    take_parked(worker, queue, n - #jobs, jobs)
  end
  local classes = #jobs < n and call('EXISTS', ready_key(queue, 2), ready_key(queue, 1), ready_key(queue, 0)) or 0
  if classes > 1 then take_overdue(worker, queue, n - #jobs, jobs) end
  for priority = classes > 0 and 2 or -1, 0, -1 do
    if #jobs < n then take(worker, queue, ready_name(priority), n - #jobs, jobs) end
  end
end

-- queued -> running: up to n jobs of all of the worker's queues.
local function claim_for(worker, n, start)
  local jobs, queues = {}, worker.queues
  holds.by(worker.id)
  for i = 0, #queues - 1 do
    if #jobs >= n then break end
    claim_from(worker, queues[(start + i) % #queues + 1], n, jobs)
  end
  return jobs
end

-- Returns a registered worker, or nil. `idle`: for how many jobs it sleeps; `wish`: that it shall drain, or stop.
local function living(id)
  local queues, types, idle, wish, asked_for = unpack(
    call('HMGET', worker_key(id), 'queues', 'types', 'idle', 'wish', 'asked')
  )
  if not queues then return nil end
  return {
    id = id, queues = words(queues), types = types, idle = tonumber(idle), wish = wish, asked = tonumber(asked_for) or 0, knows = {},
  }
end

-- Returns a worker that sleeps, as this call knows it; false if it is awake or gone. `late`: its lease has run out.
local function sleeper(id)
  local worker = sleepers[id]
  if worker == nil then
    local idle, types, serves = unpack(call('HMGET', worker_key(id), 'idle', 'types', 'queues'))
    worker = idle and { id = id, idle = tonumber(idle), types = types, serves = serves, knows = {} } or false
    if worker then worker.late = (tonumber(call('ZSCORE', workers_key, id)) or 0) < NOW end
    if worker and worker.late then call('HSET', worker_key(id), 'missed', 1) end
    sleepers[id] = worker
  end
  return worker and worker.idle and worker
end

local FEW_QUEUES = 10

-- Claims for a worker that sleeps: from all its queues if they are few, else from this one.
local function claim_asleep(worker, queue)
  worker.queues = worker.queues or (#worker.serves < 1000 and words(worker.serves) or {})
  if #worker.queues > 0 and #worker.queues <= FEW_QUEUES then return claim_for(worker, worker.idle, 0) end
  local jobs = {}
  holds.by(worker.id)
  claim_from(worker, queue, worker.idle, jobs)
  return jobs
end

local function sleep(worker, n)
  call('HSET', worker_key(worker.id), 'idle', n)
  for i = 1, #worker.queues do
    call('SADD', idle_key(worker.queues[i]), worker.id)
  end
end

local function awake(worker)
  if worker.idle then call('HDEL', worker_key(worker.id), 'idle', 'missed') end
  worker.idle = nil
end

local MOST_ASKED, MOST_TRIED = 64, 500 -- sleepers of a queue, and of all queues in one call

-- Asks one sleeping worker of a queue after the other until `is_enough(worker)`. A worker that is gone, or awake again,
-- leaves the set. One whose lease has run out stays, since it may only be late: its field `missed` has its next beat
-- tell it. (The lease itself cannot say so then: the clock may have been set back meanwhile.)
local function ask_sleepers(queue, is_enough)
  local first, back = call('SPOP', idle_key(queue)), {}
  local function ask(id)
    local worker = sleeper(id)
    if not worker then return false end
    asked = asked + 1
    local enough = not worker.late and is_enough(worker)
    if worker.idle then back[#back + 1] = id end
    return enough
  end
  if first and not ask(first) then -- mostly one is enough
    local others, enough = call('SPOP', idle_key(queue), MOST_ASKED - 1), false
    for i = 1, #others do
      if enough then
        back[#back + 1] = others[i]
      else
        enough = ask(others[i])
      end
    end
  end
  if #back > 0 then call('SADD', idle_key(queue), unpack(back)) end
end

-- Has a worker claim by itself.
local function wake(worker)
  if not worker.told then post(worker.id, { 'look' }) end
  worker.told = true
end

local function is_empty(queue)
  if parked_now[queue] then return false end
  return call('EXISTS', ready_key(queue, 2), ready_key(queue, 1), ready_key(queue, 0)) == 0
end

-- Claims jobs that became ready for a worker that sleeps, and puts them into the mailbox on which it blocks: that saves
-- the worker a claim of its own.
hand_off = function(queue)
  if is_paused(queue) then return end
  ask_sleepers(queue, function(worker)
    if budget <= 0 or asked > MOST_TRIED then -- there is more to look at than one call may
      wake(worker)
      return asked > MOST_TRIED
    end
    local wanted = worker.idle
    local jobs = claim_asleep(worker, queue)
    flush()
    if #jobs > 0 then
      awake(worker)
      post(worker.id, { 'jobs', jobs, worker.suspect and 2 or 0 })
    elseif budget <= 0 then
      wake(worker)
    end
    return (budget > 0 and #jobs < wanted and not worker.suspect and not parked_now[queue]) or is_empty(queue)
  end)
end

-- When the next waiting job of these queues is due; 0 when none waits.
local function next_due(queues)
  local first = tonumber(stored.flows_due) or 0 -- a workflow's time may be up before
  for i = 1, #queues do
    local paused = is_paused(queues[i]) -- or else it would be due now, and for ever
    for _, state in ipairs(paused and {} or { 'scheduled', 'retrying' }) do
      local _, due = unpack(call('ZRANGE', index_key(queues[i], state), 0, 0, 'WITHSCORES'))
      due = tonumber(due)
      if due and (first == 0 or due < first) then first = due end
    end
  end
  return first
end

-- Wakes one sleeper if this job is due before all others of its queue and state: its claim answers when that is.
tell_sleeper = function(queue, state, due)
  local _, first = unpack(call('ZRANGE', index_key(queue, state), 0, 0, 'WITHSCORES'))
  if tonumber(first) ~= due then return end
  ask_sleepers(queue, function(worker)
    wake(worker)
    return true
  end)
end

-- Returns the jobs, when the next one is due, and a flag: 1 there is more to look at than one call may; 2 the last job is a
-- suspect: claim no more until it runs; -1 the worker must register again; -2 the worker has given this claim up: it has
-- asked with a newer number since, which stands in place of when the next job is due. `number`: text; '0' for a caller
-- that gives up none. told() adds the rest of the answer.
local function claim(worker_id, n, start, number)
  if n <= 0 then return { {}, 0, 0 } end
  local worker = living(worker_id)
  if not worker then return { {}, 0, -1 } end
  if number ~= '0' then
    if tonumber(number) <= worker.asked then return { {}, worker.asked, -2 } end
    call('HSET', worker_key(worker_id), 'asked', number)
  end
  if worker.wish then return { {}, 0, 0 } end
  local jobs = claim_for(worker, math.min(n, MOST), start)
  local more = (budget <= 0 and #jobs < n) and 1 or 0
  if #jobs == 0 and more == 0 then
    sleep(worker, n)
    return { jobs, next_due(worker.queues), 0 }
  end
  awake(worker)
  return { jobs, 0, worker.suspect and 2 or more }
end

-- Adds to what a claim returned how many jobs the worker has now, and where the history stands. Call it after commit().
local function told(worker_id, reply)
  local jobs, due, flag = unpack(reply)
  return { jobs, due, flag, holds.of(worker_id), history.mark() }
end
