-- replay_as: a new job is made from one that has ended, which stays as it is; each knows of the other.
--   ARGV     now, msgpack of [id, since or 0, NewJobRow without a key]*
--   returns  msgpack of a word for each: replayed <state of the new job> (also when it is there already; gone:
--            its record was pruned since), NOT_FOUND,
--            CHANGED <state>, CONFLICT <state>, EXISTS <state> (another job has the new id), FULL, QUEUES
--@use births, finish
local ENDED = { completed = true, dead = true, cancelled = true }

local function newest(replays, id)
  local ids = words((replays or '') .. ' ' .. id)
  return table.concat(ids, ' ', math.max(1, #ids - MAX_REPLAYS + 1))
end

local function replay_as(id, wanted, new)
  local new_id, new_route = new[NewJobRow.id], route_of(new[NewJobRow.route])
  local there, original = unpack(call('HMGET', job_key(new_id), 'state', 'replay_of'))
  if there then return (original == id and 'replayed ' or 'EXISTS ') .. there end
  local state, since, route, replays = unpack(call('HMGET', job_key(id), 'state', 'since', 'route', 'replays'))
  local no = refusal(state, since, wanted)
  if no then return no end
  if not ENDED[state] then return 'CONFLICT ' .. state end
  if string.find(replays or '', new_id, 1, true) then return 'replayed gone' end -- and its record was pruned since
  local full = is_full(new_route.queue)
  if full then return full end
  local to = create(new, new_route)
  call('HSET', job_key(new_id), 'replay_of', id)
  call('HSET', job_key(id), 'replays', newest(replays, new_id))
  announce(id, route_of(route), state, 'edited')
  tally(new_route.queue, 'replayed', 1)
  return 'replayed ' .. to
end

local verdicts = {}
for i, item in ipairs(cmsgpack.unpack(ARGV[2])) do
  verdicts[i] = replay_as(unpack(item))
end
finish()
return cmsgpack.pack(verdicts)
