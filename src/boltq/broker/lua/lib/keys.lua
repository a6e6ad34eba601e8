-- Every key of a partition: its type and what it holds. No other file names a key.
local ARGV, call -- the arguments of this call; redis.call, which is not there yet while the library loads
local P -- the prefix "{namespace:number}:"; the braces keep a partition in one cluster slot

local partition_key -- HASH   clock, event_bytes, run_id, swept_at, logs, runs, the stored settings | seq, era, alarmed: see lib/history.lua
local queues_key -- ZSET   names of queues, in their order: all scores are 0
local workers_key -- ZSET   worker -> when its lease runs out
local types_key -- HASH   job type -> JSON: its schema, its description; as it was published last
local releases_key -- HASH   digest -> msgpack of [type, JSON]* as workers publish it that are here; #digest -> how many do
local events_key -- STREAM one entry for each call: the moves that it made
local api_keys_key -- HASH   id of an API key -> msgpack: see domain/api_keys.py; in the first partition only
local audit_key -- STREAM who did what, the newest; in the first partition only
local ops_key -- ZSET   bulk operation -> when it began; in the first partition only

local last_id, last_key -- of job_key: a job's record is mostly asked for again at once

local function begin_keys(keys, argv)
  ARGV, call, P = argv, redis.call, keys[1]
  last_id, last_key = nil, nil
  partition_key, queues_key, workers_key = P .. 'partition', P .. 'queues', P .. 'workers'
  types_key, events_key, api_keys_key = P .. 'types', P .. 'events', P .. 'api_keys'
  releases_key, audit_key, ops_key = P .. 'releases', P .. 'audit', P .. 'ops'
end

-- HASH  state, route, data, spec, at, since, expires | n: deliveries, tries: attempts that counted,
--       lost: runs whose worker was lost, begun: the delivery of which its worker told that it begins, worker, took | result, error, reason, cancel, progress | tags, by: who
--       submitted it, replay_of, replays: ids | unlogged: lines cut from the log | parked | ghost: the lists in which
--       its id stands though it waits elsewhere or waits no more | began: since when a step asks, waits, or has begun others
--       flow: of a step, "workflow number", or of an item of a map "workflow number item map's-job"
--       phase: for what a step waits that has begun, child: its sub-workflow, prompt, due: until when it asks
--       left: of a step whose workflow is paused, how long it still waits, or until when if that is fixed
local function job_key(id)
  if id ~= last_id then
    last_id, last_key = id, P .. 'job:' .. id
  end
  return last_key
end

local function log_key(id) return P .. 'log:' .. id end -- LIST   its log lines

local function runs_key(id) return P .. 'runs:' .. id end -- LIST   msgpack: its newest runs that did not complete it

-- HASH  paused, paused_by, paused_reason, paused_at, limit, turn | completed, dead, cancelled: how many ever
--       | ghosts:<list>: ids in that list of jobs that do not wait in it | parked: how many wait in parked lists
--       | workers: how many that are registered serve it | empty: since when it has been found empty
local function queue_key(queue) return P .. 'queue:' .. queue end

-- LIST  completed (oldest first) | SET running | ZSET scheduled, retrying (score: when due),
--       blocked (score: since when),
--       dead, cancelled (score: when they ended)
local function index_key(queue, state) return P .. 'queue:' .. queue .. ':' .. state end

local function ready_name(priority) return 'ready:' .. priority end

local function parked_name(type) return 'parked:' .. type end -- of a type that no worker knew

local function list_key(queue, name) return P .. 'queue:' .. queue .. ':' .. name end -- LIST  ids, first in first out

local function ready_key(queue, priority) return list_key(queue, ready_name(priority)) end

local function parked_key(queue) return P .. 'queue:' .. queue .. ':parked' end -- ZSET  types with parked jobs, in their order

local function idle_key(queue) return P .. 'idle:' .. queue end -- SET   workers that found nothing to do

-- HASH  info, queues, types, lease, idle, beat_at, wish | asked: the newest of its numbered calls; box: the number of its
--       mailbox; holds: how many jobs it has, as the store sees it
local function worker_key(worker) return P .. 'worker:' .. worker end

local function cancels_key(worker) return P .. 'cancels:' .. worker end -- SET   running jobs that it shall stop

-- LIST  what the worker blocks on: one mailbox after the other, so that an old connection waits at an old one
local function mail_key(worker, box) return P .. 'mail:' .. worker .. (box and box ~= '' and ':' .. box or '') end

-- HASH  counts, by "queue what" | the same of all queues together, and times
local function series_key(seconds, bucket) return P .. 'series:' .. seconds .. ':' .. bucket end

local function totals_key(seconds, bucket) return P .. 'series:' .. seconds .. ':' .. bucket .. ':all' end

local function gone_key(second) return P .. 'gone:' .. second end -- SET    ids of that second whose jobs are gone

local function alarms_key() return P .. 'alarms' end -- HASH  kind of an alarm -> "when how-often text"; expires by itself

local function idem_key(key) return P .. 'idem:' .. key end -- STRING id and digest, for 24 h

-- HASH  one workflow: see lib/flow.lua. With a part: steps, texts, jobs, ends, left, results, errors, answers (HASHes by
--       the step's number), open:<group>, held (SETs of numbers), map:<step> and its parts, children (SET of its
--       sub-workflows), old (SET of the jobs of earlier runs), gone (HASH: it is forgotten, and not yet cleared away)
local function flow_key(id, part) return P .. 'workflow:' .. id .. (part and ':' .. part or '') end

-- ZSET  workflows by id | all: when it was submitted; ended: until when it is kept; due: when there is work for it;
--       LIST gone: those that are being cleared away
local function flows_key(what) return P .. 'workflows:' .. what end

-- HASH  action, state, total, done, ok, failed, skipped, errors, what it was asked for | owner, lease, next_at, went_on
local function op_key(operation) return P .. 'op:' .. operation end

-- LIST  "id since" of each job of a bulk operation
local function op_items_key(operation) return P .. 'op:' .. operation .. ':items' end
