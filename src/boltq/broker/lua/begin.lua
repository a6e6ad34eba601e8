#!lua flags=allow-oom
-- begin: a worker is about to call the function of a suspect. Only a loss after that makes a job poison; nobody tells it
-- of other jobs, for which it would cost too much.
--   ARGV     now, worker, job, delivery
--   returns  1
--   refuses  LEASE_LOST: this run of it is not the worker's any more, and must not begin
--@use clock, words
local id = ARGV[3]
local job = call('HMGET', job_key(id), 'state', 'n', 'worker')
if job[1] ~= 'running' or job[2] ~= ARGV[4] or job[3] ~= ARGV[2] then refuse('LEASE_LOST', id) end
call('HSET', job_key(id), 'begun', job[2])
return 1
