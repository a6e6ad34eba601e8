#!lua flags=allow-oom
-- delete: jobs are gone for ever, record, log, runs and index, in whatever state they are but running;
-- not jobs of a workflow that have not ended. The idempotency key of what has not completed is free again.
--   ARGV     now, msgpack of [id, since or 0]*
--   returns  msgpack of a word for each: deleted, AGAIN (this call has searched enough: ask again), NOT_FOUND,
--            CHANGED <state>, CONFLICT <state> <workflow>
--@use claims, memory, finish
local MOST_SEARCHED = 500000 -- ids of lists of completed jobs
local searched, gone = 0, {}

local leave = {}
function leave.queued(id, route, parked, ghosts) withdraw(id, route, parked, ghosts) end
function leave.completed(id, route) call('LREM', index_key(route.queue, 'completed'), 1, id) end
for _, state in ipairs({ 'scheduled', 'retrying', 'dead', 'cancelled' }) do
  leave[state] = function(id, route) push(noted('ZREM', index_key(route.queue, state)), id) end
end

local function free(key, id)
  local used = call('GET', idem_key(key))
  if used and string.match(used, '^%S+') == id then call('DEL', idem_key(key)) end
end

local function delete(id, wanted)
  local state, since, path, parked, ghosts, place, key = unpack(
    call('HMGET', job_key(id), 'state', 'since', 'route', 'parked', 'ghost', 'flow', 'key')
  )
  local no = refusal(state, since, wanted)
  if no then return no end
  local route = route_of(path)
  if not leave[state] or (place and MOVES[state].cancelled) then return conflict(state, place) end
  if state == 'completed' then
    local size = call('LLEN', index_key(route.queue, state))
    if searched > 0 and searched + size > MOST_SEARCHED then return 'AGAIN' end
    searched = searched + size
  end
  leave[state](id, route, parked, ghosts)
  if key and state ~= 'completed' then free(key, id) end
  call('UNLINK', job_key(id), log_key(id), runs_key(id))
  announce(id, route, state, 'deleted')
  gone[#gone + 1] = id
  return 'deleted'
end

local verdicts = {}
for i, item in ipairs(cmsgpack.unpack(ARGV[2])) do
  verdicts[i] = delete(unpack(item))
end
if #gone > 0 then memory.keep(gone) end
finish()
return cmsgpack.pack(verdicts)
