--@use keys
-- One clock: the server's, in milliseconds; it never runs backwards by less than a real step of the clock.
local function server_ms()
  local seconds, micros = unpack(call('TIME'))
  return seconds * 1000 + math.floor(micros / 1000)
end

local HOLD_MS = 10000 -- a clock that went back by less is held; by more, it was set, and we follow

local NOW, clock_was_set -- this call's time; whether the clock went back by more than is held
local STAMP -- NOW as text, for what each job is given: to write a number as text costs more than a field does
local stored -- by name, what most calls need of the partition's hash; false or nil where nothing is stored

local function begin_clock()
  local clock, event_bytes, patience, max_depth, flows_due, pruned, max_queues, seq, era, alarmed = unpack(call(
    'HMGET', partition_key, 'clock', 'event_bytes', 'patience', 'max_depth', 'flows_due', 'pruned', 'max_queues', 'seq',
    'era', 'alarmed'
  ))
  stored = {
    clock = clock, event_bytes = event_bytes, patience = patience or KNOBS.patience, max_depth = max_depth or KNOBS.max_depth,
    flows_due = flows_due, pruned = pruned, max_queues = max_queues or KNOBS.max_queues, seq = seq, era = era,
    alarmed = alarmed,
  }
  local last_seen = tonumber(clock) or 0
  NOW = tonumber(ARGV[1]) or server_ms() -- tests pass the time
  clock_was_set = NOW < last_seen - HOLD_MS
  if NOW < last_seen and not clock_was_set then NOW = last_seen end
  STAMP = string.format('%.0f', NOW)
end

-- A setting of the namespace: see broker/knobs.py. `stored` has those that most calls need.
local function knob(name) return tonumber(call('HGET', partition_key, name)) or KNOBS[name] end

-- The server's own name for this run of it; a new one means that it was down, or that it is another server.
local function run_id()
  local about = redis.pcall('INFO', 'server')
  return type(about) == 'string' and string.match(about, 'run_id:(%x+)') or ''
end
