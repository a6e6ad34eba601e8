--@use keys
-- A worker's mailbox: msgpack of {'jobs', jobs, flag}, {'cancel', ids}, {'wish', wish, when} or {'look'}.
local MOST_MAIL = 100 -- a mailbox that nobody empties does not grow: its worker is dead, and the reaper drops it

local function post(worker, letter)
  local kind = unpack(letter)
  local key = mail_key(worker, call('HGET', worker_key(worker), 'box'))
  if call('RPUSH', key, cmsgpack.pack(letter)) > MOST_MAIL and kind ~= 'jobs' then call('RPOP', key) end
end
