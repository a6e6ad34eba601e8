-- flow_submit: a new workflow, with a blocked job for each step; those that wait for nothing -> queued.
--   ARGV     now, msgpack of [id, [field, value, ...], [number, [info, group, for how many steps it waits, 'now': it
--            begins at once, 'early': it may not wait for all of them, or ''], text, [id, route, data, spec, and only where
--            there are any: tags]]*]; idempotency key or '', digest. Info is the msgpack that the
--            steps are stored as: see lib/flow.lua
--   returns  a word and the workflow's id: CREATED, EXISTS, DUPLICATE, CONFLICT; FULL or QUEUES, and the queue;
--            FORGOTTEN and now: see submit.lua
--@use flow_begin, memory, finish
local new, key, digest = cmsgpack.unpack(ARGV[2]), ARGV[3], ARGV[4]
local id, _, steps = unpack(new)
if call('EXISTS', flow_key(id)) == 1 then return { 'EXISTS', id } end
if key ~= '' then
  local used = call('GET', idem_key('workflow\n' .. key))
  if used then
    local earlier, was = string.match(used, '^(%S+) (%S+)$')
    return { was == digest and 'DUPLICATE' or 'CONFLICT', earlier }
  end
end
local word = memory.word(id)
if word then return { word, word == 'EXISTS' and id or string.format('%d', NOW) } end
local begin = {} -- queue -> how many steps begin at once; nobody keeps room for the others
for _, row in ipairs(steps) do
  local _, head, _, job = unpack(row, 1, 4)
  local _, _, _, when = unpack(head)
  local _, route = unpack(job)
  local queue = route_of(route).queue
  local full = is_full(queue)
  if full then return { full, queue } end
  begin[queue] = (begin[queue] or 0) + (when == 'now' and 1 or 0)
  local room = room_in(queue)
  if room and room < begin[queue] then return { 'FULL', queue } end
end
if key ~= '' then
  local keep = knob('keep_keys_ms')
  call('SET', idem_key('workflow\n' .. key), id .. ' ' .. digest, 'PX', keep)
end
flow.create(new)
if key ~= '' then call('HSET', flow_key(id), 'key', key) end -- to free it with the workflow: see flow_delete.lua
finish()
return { 'CREATED', id }
