--@use moves, runs, flow_go_on
-- running -> queued, dead or cancelled: jobs whose worker is lost. The first time nobody knows whether the run had begun:
-- it counts as a loss, and makes the job a suspect. Of a suspect the worker tells (begin.lua), so from then on a run that
-- never began is no loss, and leaves nothing. A job that took too many workers down is buried, and never by a doubt.
local POISON = '{"class":"WorkerLost","message":"%d workers were lost while they ran this job",'
  .. '"category":"poison","fingerprint":"poison"}'

local function take_back(id, queue)
  local state, path, lost, cancel, place, delivery, begun, worker = unpack(
    call('HMGET', job_key(id), 'state', 'route', 'lost', 'cancel', 'flow', 'n', 'begun', 'worker')
  )
  if state ~= 'running' then
    push(noted('SREM', index_key(queue, 'running')), id)
    return
  end
  local route, told = route_of(path), begun == delivery
  lost = tonumber(lost) or 0
  local began = told or lost == 0
  if began then lost = lost + 1 end
  holds.by(worker or '')
  local limit = knob('poison_limit')
  if began then note_run(id, cancel and 'cancelled' or 'lost') end
  places.note(id, place)
  if cancel then
    move(id, route, 'running', 'cancelled', NOW, 'reason', 'cancelled', 'lost', lost)
  elseif told and lost >= limit then
    move(id, route, 'running', 'dead', NOW, 'error', string.format(POISON, lost), 'lost', lost)
  else
    move(id, route, 'running', 'queued', 'head', 'lost', lost)
  end
end

-- Looks at one stretch of a queue's running jobs and takes back those whose worker `is_lost`; answers the next cursor, how
-- many it took back, and how many it looked at.
local function scan_running(queue, cursor, is_lost, back)
  local following, ids = unpack(call('SSCAN', index_key(queue, 'running'), cursor, 'COUNT', 200))
  local taken = 0
  table.sort(ids, function(a, b) return a > b end) -- the oldest goes to the head of its queue last, and stays the first
  for _, id in ipairs(ids) do
    if is_lost(call('HGET', job_key(id), 'worker')) then
      back(id, queue)
      taken = taken + 1
    end
  end
  return following, taken, #ids
end

local function forget_worker(id)
  for queue in string.gmatch(call('HGET', worker_key(id), 'queues') or '', '%S+') do
    call('HINCRBY', queue_key(queue), 'workers', -1)
  end
  local release = call('HGET', worker_key(id), 'release')
  if release and call('HINCRBY', releases_key, '#' .. release, -1) < 1 then
    call('HDEL', releases_key, release, '#' .. release)
  end
  call('ZREM', workers_key, id)
  call('UNLINK', mail_key(id, call('HGET', worker_key(id), 'box')), mail_key(id), worker_key(id), cancels_key(id))
end
