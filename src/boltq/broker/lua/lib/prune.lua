--@use moves, memory
-- History has an end: jobs past their keep time or over the number kept are deleted, record, log, runs and index at once.
local MOST_PRUNED = 1500 -- a call and queue; every settle prunes more than it adds, so this is never behind for long

local KEPT = {
  completed = { ms = 'keep_completed_ms', most = 'keep_completed' },
  dead = { ms = 'keep_dead_ms', most = 'keep_dead' },
  cancelled = { ms = 'keep_completed_ms', most = 'keep_completed' },
}

-- `extras`: whether this partition has any logs, and any runs.
local function delete(ids, extras)
  local keys, n = {}, 0
  for i = 1, #ids do
    n = n + 1
    keys[n] = job_key(ids[i])
    if extras.logs then
      n = n + 1
      keys[n] = log_key(ids[i])
    end
    if extras.runs then
      n = n + 1
      keys[n] = runs_key(ids[i])
    end
  end
  if n > 0 then
    call('UNLINK', unpack(keys))
    memory.keep(ids)
  end
  return #ids
end

local function too_old_in_list(key, before)
  local ids = call('LRANGE', key, 0, 499)
  local n = 0
  while n < #ids and (tonumber(call('HGET', job_key(ids[n + 1]), 'since')) or 0) < before do
    n = n + 1
  end
  return n
end

-- A long history gets a little shorter than it may be, so that not every settle has to prune.
local function beyond(count, most)
  local over = count - most
  return over > 0 and over + (most >= 1000 and math.floor(most / 100) or 0) or over
end

local function prune_list(key, before, most, extras)
  local over = beyond(call('LLEN', key), most)
  if over <= 0 then
    local head = call('LINDEX', key, 0)
    if not head or (tonumber(call('HGET', job_key(head), 'since')) or 0) >= before then return 0 end
    over = too_old_in_list(key, before)
  end
  return delete(call('LPOP', key, math.min(over, MOST_PRUNED)) or {}, extras)
end

local function prune_zset(key, before, most, extras)
  local over = beyond(call('ZCARD', key), most)
  local ids = call('ZRANGE', key, 0, math.min(over, MOST_PRUNED) - 1)
  if over <= 0 then ids = call('ZRANGE', key, '-inf', '(' .. before, 'BYSCORE', 'LIMIT', 0, MOST_PRUNED) end
  if #ids > 0 then call('ZREM', key, unpack(ids)) end
  return delete(ids, extras)
end

-- The history of one queue in one terminal state. Answers how many jobs it deleted.
local function prune(queue, state)
  local kept = KEPT[state]
  local ms, most, logs, runs = unpack(call('HMGET', partition_key, kept.ms, kept.most, 'logs', 'runs'))
  local before = NOW - (tonumber(ms) or KNOBS[kept.ms])
  local shorten = state == 'completed' and prune_list or prune_zset
  return shorten(index_key(queue, state), before, tonumber(most) or KNOBS[kept.most], { logs = logs, runs = runs })
end
