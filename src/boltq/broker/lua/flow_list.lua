#!lua flags=no-writes
-- flow_list: workflows, the newest first.
--   ARGV     now, cursor ('' for the first page), state or '', name or '', how many, how many to look at at most
--   returns  msgpack of [next cursor or '', [id, name, state, submitted, since, ending, paused, steps]*]
--@use reading
local most, left = tonumber(ARGV[5]), tonumber(ARGV[6])
local key, rows = flows_key('all'), {}
local score, last = string.match(ARGV[2], '^(%d+) (%S+)$')
local at = 0
if score then
  local rank = call('ZREVRANK', key, last)
  at = rank and rank + 1 or call('ZCOUNT', key, '(' .. score, '+inf')
end
while true do
  local page = call('ZREVRANGE', key, at, at + 99, 'WITHSCORES')
  for i = 1, #page, 2 do
    local id = page[i]
    local head = call('HMGET', flow_key(id), 'name', 'state', 'at', 'since', 'ending', 'paused', 'parent')
    left = left - 1
    if head[1] and (ARGV[3] == '' or head[2] == ARGV[3]) and (ARGV[4] == '' or head[1] == ARGV[4]) then
      local steps = call('HLEN', flow_key(id, 'steps'))
      rows[#rows + 1] = { id, head[1], head[2], tonumber(head[3]), tonumber(head[4]), head[5] or '', head[6] and 1 or 0, steps, head[7] or '' }
    end
    if #rows >= most or left <= 0 then return cmsgpack.pack({ page[i + 1] .. ' ' .. id, rows }) end
  end
  if #page < 200 then return cmsgpack.pack({ '', rows }) end
  at = at + 100
end
