#!lua flags=allow-oom
-- begin: a worker is about to call the function of a suspect. Only a loss after that makes a job poison; nobody tells it
-- of other jobs, for which it would cost too much.
--   ARGV     now, worker, job, delivery
--   returns  1
--   refuses  LEASE_LOST: this run of it is not the worker's any more, and must not begin
--@use clock, words
local worker, id, delivery = ARGV[2], ARGV[3], ARGV[4]
local state, n, runner = unpack(call('HMGET', job_key(id), 'state', 'n', 'worker'))
if state ~= 'running' or n ~= delivery or runner ~= worker then refuse('LEASE_LOST', id) end
call('HSET', job_key(id), 'begun', n)
return 1
