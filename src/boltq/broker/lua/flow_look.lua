#!lua flags=no-writes
-- flow_look: what a worker needs to know of the step of which it has claimed the job, when the claim did not bring it.
--   ARGV     now, job, how many bytes of results it may read
--   returns  msgpack of a Look, whose `later` is by its phase: the sub-workflow that goes on, if it begins; child's id;
--            items' [MapRow, results, errors, fields]; answer, when due, now; only a number of bytes, when it would be more
--   refuses  NOT_FOUND
--@use look
local found, bytes = look.at(ARGV[2], tonumber(ARGV[3]))
return cmsgpack.pack(found or bytes or refuse('NOT_FOUND', ARGV[2]))
