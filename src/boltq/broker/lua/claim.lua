#!lua flags=allow-oom
-- claim: queued -> running, up to n jobs, for a registered worker; promotes what is due on the way.
--   ARGV     now, worker, n, which of its queues comes first
--   returns  msgpack of [[id, route, data, spec, delivery, attempts, waited, what flow_look says where it asks for
--            that and it is not too much]*, next due or 0, flag]
--@use claims, flow
flow.carry_on()
flow.go_on()
local reply = claim(ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]))
commit()
tell_cancels()
return cmsgpack.pack(reply)
