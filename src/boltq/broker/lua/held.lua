#!lua flags=allow-oom
-- held: what a worker has as the store sees it, and the letters that it has not read: by this it finds jobs that came to
-- it and never arrived. The letters are taken out. From then on no older claim of it takes anything, it has a new
-- mailbox, and nothing is handed to it until it claims again. Large sets are read in portions.
--   ARGV     now, worker, number of the call (newer than each before; 0 for none), where to go on or '', how many of its
--            jobs the portions before had
--   returns  [letter*, msgpack of [id, delivery]*, where to go on, or '' at the end, 1 when the store knows the worker]
--   refuses  CONFLICT: the worker has given this call up
--@use clock, words
local MOST_SCANNED = 2000
local worker, number = ARGV[2], ARGV[3]
local serves, asked, box = unpack(call('HMGET', worker_key(worker), 'queues', 'asked', 'box'))
if not serves then return { {}, cmsgpack.pack({}), '', 0 } end
if number ~= '0' and tonumber(number) <= (tonumber(asked) or 0) then refuse('CONFLICT', asked) end

local letters = {}
if ARGV[4] == '' then
  for _, key in ipairs(box and { mail_key(worker, box), mail_key(worker) } or { mail_key(worker) }) do
    for _, letter in ipairs(call('LRANGE', key, 0, -1)) do
      letters[#letters + 1] = letter
    end
    call('DEL', key)
  end
  if number ~= '0' then call('HSET', worker_key(worker), 'box', number) end
  call('HDEL', worker_key(worker), 'idle', 'missed')
end
if number ~= '0' then call('HSET', worker_key(worker), 'asked', number) end

local queues = words(serves)
local at, cursor = string.match(ARGV[4], '^(%d+) (%d+)$')
at, cursor = tonumber(at) or 1, cursor or '0'
local held, scanned = {}, 0
while at <= #queues and scanned < MOST_SCANNED do
  local following, ids = unpack(call('SSCAN', index_key(queues[at], 'running'), cursor, 'COUNT', 200))
  cursor, scanned = following, scanned + #ids + 1
  for _, id in ipairs(ids) do
    local runner, n = unpack(call('HMGET', job_key(id), 'worker', 'n'))
    if runner == worker then held[#held + 1] = { id, tonumber(n) or 0 } end
  end
  if cursor == '0' then at = at + 1 end
end
local more = at <= #queues and at .. ' ' .. cursor or ''
if more == '' then call('HSET', worker_key(worker), 'holds', tonumber(ARGV[5]) + #held) end -- should the count be wrong
return { letters, cmsgpack.pack(held), more, 1 }
