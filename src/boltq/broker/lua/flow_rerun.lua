-- flow_rerun: a workflow that has ended is run again: some of its steps, with new jobs. The others keep their results.
--   ARGV     now, id, generation that was looked at, msgpack of [number, info, text, job]* as in flow_submit,
--            msgpack of [field, value, ...] that change
--   returns  the new generation
--   refuses  NOT_FOUND, CONFLICT when it runs, or was run again meanwhile
--@use flow
local id = ARGV[2]
local head = call('HMGET', flow_key(id), 'state', 'gen')
if not head[1] then refuse('NOT_FOUND', id) end
if head[1] == 'running' or head[2] ~= ARGV[3] then refuse('CONFLICT', head[1]) end
local generation = flow.again_from_start(id, cmsgpack.unpack(ARGV[4]), cmsgpack.unpack(ARGV[5]))
flow.go_on()
count_births()
commit()
tell_cancels()
return generation
