-- replay_as: a new job is made from one that has ended, which stays as it is; each knows of the other.
--   ARGV     now, msgpack of [id, since or 0, the new job (see submit.lua, without a key)]*
--   returns  msgpack of a word for each: replayed <state of the new job> (also when it is there already; gone:
--            its record was pruned since), NOT_FOUND,
--            CHANGED <state>, CONFLICT <state>, EXISTS <state> (another job has the new id), FULL, QUEUES
--@use births
local ENDED = { completed = true, dead = true, cancelled = true }

local function newest(replays, id)
  local ids = words((replays or '') .. ' ' .. id)
  return table.concat(ids, ' ', math.max(1, #ids - MAX_REPLAYS + 1))
end

local function replay_as(id, since, new)
  local there = call('HMGET', job_key(new[1]), 'state', 'replay_of')
  if there[1] then return (there[2] == id and 'replayed ' or 'EXISTS ') .. there[1] end
  local job = call('HMGET', job_key(id), 'state', 'since', 'route', 'replays')
  local no = refusal(job[1], job[2], since)
  if no then return no end
  if not ENDED[job[1]] then return 'CONFLICT ' .. job[1] end
  if string.find(job[4] or '', new[1], 1, true) then return 'replayed gone' end -- and its record was pruned since
  local route = route_of(new[2])
  local full = is_full(route.queue)
  if full then return full end
  local state = create(new, route)
  call('HSET', job_key(new[1]), 'replay_of', id)
  call('HSET', job_key(id), 'replays', newest(job[4], new[1]))
  announce(id, route_of(job[3]), job[1], 'edited')
  tally(route.queue, 'replayed', 1)
  return 'replayed ' .. state
end

local verdicts = {}
for i, item in ipairs(cmsgpack.unpack(ARGV[2])) do
  verdicts[i] = replay_as(item[1], item[2], item[3])
end
count_births()
commit()
return cmsgpack.pack(verdicts)
