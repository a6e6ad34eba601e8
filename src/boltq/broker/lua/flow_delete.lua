#!lua flags=allow-oom
-- flow_delete: a workflow that has ended is forgotten at once; its jobs, its sub-workflows and what is left of its record
-- are cleared away bit by bit, by this call and the next ones, or by whoever claims and settles. The idempotency key
-- of one that has not completed is free again.
--   ARGV     now, id; or '' to go on
--   returns  1 when there is more to clear away: call again, without an id
--   refuses  NOT_FOUND; CONFLICT when it runs, or is part of another workflow
--@use flow_forget, finish
local id = ARGV[2]
if id ~= '' then
  local w = flow.open(id)
  if not w then refuse('NOT_FOUND', id) end
  if w.state == 'running' then refuse('CONFLICT', 'the workflow ' .. id .. ' is running: cancel it first') end
  if flow.is_busy(w) then refuse('CONFLICT', 'a sub-workflow of ' .. id .. ' runs again: cancel that first') end
  if w.within then refuse('CONFLICT', 'the workflow ' .. id .. ' is part of ' .. w.within .. ': delete that') end
  local key = w.state ~= 'completed' and call('HGET', flow_key(id), 'key')
  local used = key and call('GET', idem_key('workflow\n' .. key))
  if used and string.match(used, '^%S+') == id then call('DEL', idem_key('workflow\n' .. key)) end
  announce(id, route_of('- 1 workflow'), w.state, 'deleted')
  flow.bury(id, true)
end
local more = flow.clear_away()
finish()
return more and 1 or 0
