#!lua flags=allow-oom
-- flow_signal: a person's word for an approval step. It is kept when the step does not wait yet.
--   ARGV     now, id, step's number, answer (JSON), its meaning: two answers that mean the same have the same text
--   returns  a word: kept, taken, repeated, refused
--   refuses  NOT_FOUND
--@use flow_phases, finish
local id, n, answer, meaning = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local w = flow.open(id)
local job_id = w and call('HGET', flow_key(id, 'jobs'), n)
if not job_id then refuse('NOT_FOUND', id) end
local earlier, meant = unpack(call('HMGET', flow_key(id, 'answers'), n, n .. ':meaning'))
if earlier then return meant == meaning and 'repeated' or 'refused' end
local ends = call('HGET', flow_key(id, 'ends'), n)
if w.state ~= 'running' or (ends and ends ~= 'started') then return 'refused' end
call('HSET', flow_key(id, 'answers'), n, answer, n .. ':meaning', meaning)
local state, phase, route = unpack(call('HMGET', job_key(job_id), 'state', 'phase', 'route'))
if not flow.is_asking(state, phase) then return 'kept' end
call('HDEL', job_key(job_id), 'left')
call('SREM', flow_key(id, 'held'), n)
move(job_id, route_of(route), state, 'queued', 'tail')
finish()
return 'taken'
