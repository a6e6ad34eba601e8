#!lua flags=no-writes
-- flow_list: workflows, the newest first.
--   ARGV     now, cursor ('' for the first page), states or '', name or '', submitted since or -1, before or -1,
--            how many, how many to look at at most, '1' for sub-workflows only, '0' for others only, or ''
--   returns  msgpack of [next cursor or '', WorkflowRow*]
--@use reading
local states, name, since, before = words(ARGV[3]), ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
local nested = ARGV[9]
local most, left = tonumber(ARGV[7]), tonumber(ARGV[8])
local key, rows, wanted = flows_key('all'), {}, {}
for _, state in ipairs(states) do
  wanted[state] = true
end

local function begins_at()
  local score, last = string.match(ARGV[2], '^(%d+) (%S+)$')
  local rank = score and call('ZREVRANK', key, last)
  if rank then return rank + 1 end
  if score then return call('ZCOUNT', key, '(' .. score, '+inf') end
  return before >= 0 and call('ZCOUNT', key, before, '+inf') or 0
end

local at = begins_at()
while true do
  local page = call('ZREVRANGE', key, at, at + 99, 'WITHSCORES')
  for i = 1, #page, 2 do
    local id, submitted = page[i], tonumber(page[i + 1])
    if submitted < since then return cmsgpack.pack({ '', rows }) end
    left = left - 1
    local own_name, state, within = unpack(call('HMGET', flow_key(id), 'name', 'state', 'within'))
    local level = nested == '' or nested == (within and '1' or '0')
    if own_name and level and (#states == 0 or wanted[state]) and (name == '' or own_name == name) then
      rows[#rows + 1] = flow_row(id)
    end
    if #rows >= most or left <= 0 then return cmsgpack.pack({ page[i + 1] .. ' ' .. id, rows }) end
  end
  if #page < 200 then return cmsgpack.pack({ '', rows }) end
  at = at + 100
end
