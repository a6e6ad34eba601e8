#!lua flags=allow-oom
-- claim: queued -> running, up to n jobs, for a registered worker; promotes what is due on the way.
--   ARGV     now, worker, n, which of its queues comes first, number of the call: newer than that of each before; or 0
--   returns  msgpack of [[id, route, data, spec, delivery, attempts, waited, what flow_look says where it asks for
--            that and it is not too much]*, next due or 0, flag, how many jobs the worker has now, [seq, era, alarmed]]
--@use claims, flow_go_on, finish
flow.carry_on()
flow.go_on()
local reply = claim(ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5])
finish()
return cmsgpack.pack(told(ARGV[2], reply))
