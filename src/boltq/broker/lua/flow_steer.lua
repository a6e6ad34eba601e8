#!lua flags=allow-oom
-- flow_steer: a workflow is cancelled, paused or resumed.
--   ARGV     now, id, cancel, pause or resume
--   returns  the workflow's state; the same again when it was done before
--   refuses  NOT_FOUND, CONFLICT when it has ended
--@use flow
local id, verb = ARGV[2], ARGV[3]
local w = flow.open(id)
if not w then refuse('NOT_FOUND', id) end
if w.state ~= 'running' then
  if verb == 'cancel' and w.state == 'cancelled' then return w.state end
  refuse('CONFLICT', w.state)
end
if verb == 'cancel' then
  flow.cancel(w, 'cancelled')
elseif verb == 'pause' then
  flow.pause(w)
else
  flow.resume(w)
end
flow.go_on()
commit()
tell_cancels()
return call('HGET', flow_key(id), 'state')
