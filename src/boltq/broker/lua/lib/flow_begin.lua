--@use flow, births
-- New workflows: their record, and a job for each step.

local function bear(job, text, to, at)
  local id, route_text, data, spec, tags = unpack(job)
  local route = route_of(route_text)
  if spec == '' then
    move(id, route, 'new', to, at, 'route', route_text, 'data', data, 'at', NOW, 'flow', text)
  else
    move(id, route, 'new', to, at, 'route', route_text, 'data', data, 'at', NOW, 'flow', text, 'spec', spec)
  end
  if tags then call('HSET', job_key(id), 'tags', tags) end
  made[route.queue] = (made[route.queue] or 0) + 1
end

function flow.block_job(job, text) bear(job, text, 'blocked', NOW) end

-- Opens a workflow whose record this call has just written. Its time begins.
function flow.open_anew(id)
  local ms = tonumber(call('HGET', flow_key(id), 'timeout'))
  if ms then call('HSET', flow_key(id), 'deadline', NOW + ms) end
  opened[id] = nil
  return flow.open(id)
end

-- Writes the steps of a workflow that begins, or that runs again, and makes their jobs. `rows` as in flow_submit.lua.
function flow.lay(w, rows)
  local steps, texts, jobs, left, ends, open = {}, {}, {}, {}, {}, { {}, {}, {} }
  w.begins = {}
  for i, row in ipairs(rows) do
    local n, head, text, job = unpack(row, 1, 4)
    local info, group, waits_for, when = unpack(head)
    local job_id = job[1]
    steps[2 * i - 1], steps[2 * i] = n, info
    texts[2 * i - 1], texts[2 * i] = n, text
    jobs[2 * i - 1], jobs[2 * i] = n, job_id
    left[2 * i - 1], left[2 * i] = n, waits_for
    open[group][#open[group] + 1] = n
    if group > 1 then w.handlers = 1 end
    if when == 'now' and not w.paused then
      ends[#ends + 1], ends[#ends + 2] = n, 'started'
      w.ends[n], w.alive = 'started', n
      bear(job, w.id .. ' ' .. n, 'queued', 'tail')
    else
      w.ends[n] = false
      if group == 1 and (waits_for == 0 or when == 'early') then w.begins[#w.begins + 1] = n end
      flow.block_job(job, w.id .. ' ' .. n)
    end
  end
  flow.write_all('HSET', flow_key(w.id, 'steps'), steps)
  flow.write_all('HSET', flow_key(w.id, 'texts'), texts)
  flow.write_all('HSET', flow_key(w.id, 'jobs'), jobs)
  flow.write_all('HSET', flow_key(w.id, 'left'), left)
  flow.write_all('HSET', flow_key(w.id, 'ends'), ends)
  for group = 1, 3 do
    flow.write_all('SADD', flow_key(w.id, 'open:' .. group), open[group])
  end
end

-- `new`: [id, fields, steps]; `parent`: the job that waits for the workflow, a job of the workflow `over`. Returns nil if
-- the workflow exists already.
function flow.create(new, parent, over)
  local id, fields, rows = unpack(new)
  if call('EXISTS', flow_key(id)) == 1 then return nil end
  call('HSET', flow_key(id), 'state', 'running', 'group', 1, 'gen', 1, 'at', NOW, 'since', NOW, unpack(fields))
  if parent then
    call('HSET', flow_key(id), 'parent', parent, 'within', over.id)
    if over.paused then call('HSET', flow_key(id), 'paused', NOW) end
    call('SADD', flow_key(over.id, 'children'), id)
  end
  call('ZADD', flows_key('all'), NOW, id)
  local w = flow.open_anew(id)
  flow.lay(w, rows)
  if w.handlers then call('HSET', flow_key(id), 'handlers', 1) end
  flow.touch(w)
  announce(id, route_of('- 1 workflow'), 'new', 'running')
  return w
end

-- Returns true if a map or a sub-workflow may make so many more jobs. All levels have one bound together.
function flow.may_spread(w, more)
  local over = not w.alone and w.within and flow.open(w.within)
  while over do
    w, over = over, not over.alone and over.within and flow.open(over.within)
  end
  return call('HINCRBY', flow_key(w.id), 'spread', more) <= MAX_SPREAD
end
