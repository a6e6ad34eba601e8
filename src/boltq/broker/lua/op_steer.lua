#!lua flags=allow-oom
-- op_steer: a bulk operation shall stop, or go on after its canary. What is being done to a few jobs now is still done.
--   ARGV     now, operation, stop or continue
--   returns  its state
--   refuses  NOT_FOUND, CONFLICT
--@use clock, words
local id, key = ARGV[2], op_key(ARGV[2])
local state = call('HGET', key, 'state')
if not state then refuse('NOT_FOUND', 'no operation ' .. id) end
if ARGV[3] == 'continue' and state == 'canary' then
  call('HSET', key, 'state', 'running', 'went_on', 1)
  return 'running'
elseif ARGV[3] == 'stop' and (state == 'running' or state == 'canary') then
  call('HSET', key, 'state', 'stopped', 'finished_at', NOW)
  call('UNLINK', op_items_key(id))
  return 'stopped'
end
refuse('CONFLICT', 'operation ' .. id .. ' is ' .. state)
