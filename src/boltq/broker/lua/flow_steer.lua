#!lua flags=allow-oom
-- flow_steer: a workflow is cancelled, paused or resumed.
--   ARGV     now, id, cancel, pause or resume; or go_on
--   returns  the workflow's state (the same again when it was done before), and how much is left to do: then go_on
--   refuses  NOT_FOUND, CONFLICT when it has ended
--@use flow_stop, flow_pause, finish
local id, verb = ARGV[2], ARGV[3]
local w = flow.open(id)
if not w then refuse('NOT_FOUND', id) end
if w.state ~= 'running' then
  if verb == 'go_on' or (verb == 'cancel' and w.state == 'cancelled') then return { w.state, 0 } end
  refuse('CONFLICT', 'the workflow ' .. id .. ' has ended: it is ' .. w.state)
end
if verb == 'cancel' then
  flow.cancel(w, 'cancelled')
elseif verb == 'pause' then
  flow.pause(w)
elseif verb == 'resume' then
  flow.resume(w)
else
  flow.touch(w)
end
finish()
return { call('HGET', flow_key(id), 'state') or w.state, #w.work }
