-- flow_rerun: a workflow that has ended is run again: some of its steps, with new jobs. The others keep their results.
--   ARGV     now, id, generation that was looked at, msgpack of the steps that begin anew, as in flow_submit, each with
--            one more: 0 no map, 1 a map of which all items begin anew, 2 one of which those that completed stay, 3 a
--            sub-workflow that goes on where it failed, 4 a map of which those that completed stay and the others do so;
--            msgpack of [field, value, ...] that change; msgpack of [number, info, text]* of the others where they change;
--            1 when there are sub-workflows among those that begin anew, and none of them goes on
--   returns  the new generation
--   refuses  NOT_FOUND, CONFLICT when it runs, was run again meanwhile, or a step waits for it; or when others take the
--            place of sub-workflows, of which one runs again by itself
--@use flow_reruns, finish
local id = ARGV[2]
local state, present, parent, within, busy = unpack(call('HMGET', flow_key(id), 'state', 'gen', 'parent', 'within', 'busy'))
if not state then refuse('NOT_FOUND', id) end
if state == 'running' then refuse('CONFLICT', 'the workflow ' .. id .. ' is running') end
if present ~= ARGV[3] then refuse('CONFLICT', 'the workflow ' .. id .. ' was run again meanwhile') end
local waits = parent and call('HGET', job_key(parent), 'state')
if waits and MOVES[waits].cancelled then refuse('CONFLICT', 'a step of the workflow ' .. within .. ' waits for ' .. id) end
if ARGV[7] == '1' and (tonumber(busy) or 0) > 0 then
  refuse('CONFLICT', 'a sub-workflow of ' .. id .. ' runs again: wait for its end, or cancel that first')
end
local generation = flow.again_from_start(id, cmsgpack.unpack(ARGV[4]), cmsgpack.unpack(ARGV[5]), cmsgpack.unpack(ARGV[6]))
finish()
return generation
