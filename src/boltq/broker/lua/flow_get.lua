#!lua flags=no-writes
-- flow_get: a workflow as it stands, with every step; or as it stood when an earlier run of it had ended.
--   ARGV     now, id, 1 for the form too, how many bytes errors and answers may have together, generation or 0
--   returns  msgpack of [[field, value, ...], StepRow*, present generation]; of a step that is tried again, the error is
--            that of the last run; only of one that has run again since it has inputs and result
--   refuses  NOT_FOUND
--@use reading
local id, budget, wanted = ARGV[2], { left = tonumber(ARGV[4]) }, tonumber(ARGV[5])
local head = call('HGETALL', flow_key(id))
if #head == 0 then refuse('NOT_FOUND', id) end
local present = tonumber(call('HGET', flow_key(id), 'gen'))
local past = {} -- step -> its row of the wanted generation, where it has run again since

local function read_past(generation)
  local past_key = flow_key(id, 'past:' .. generation)
  local flat = call('HGETALL', past_key)
  if #flat == 0 then refuse('NOT_FOUND', id .. ' of generation ' .. generation) end
  for i = 1, #flat, 2 do
    if flat[i] == 'head' then
      head = cmsgpack.unpack(flat[i + 1])
    else
      past[flat[i]] = cmsgpack.unpack(flat[i + 1])
    end
  end
end

if wanted > present then refuse('NOT_FOUND', id .. ' of generation ' .. wanted) end
for generation = present - 1, wanted > 0 and wanted or present, -1 do -- an earlier run overwrites a later one
  read_past(generation)
end

local fields = {}
for i = 1, #head, 2 do
  if head[i] ~= 'todo' and (head[i] ~= 'form' or ARGV[3] == '1') then
    fields[#fields + 1] = head[i]
    fields[#fields + 1] = head[i + 1]
  end
end
local texts, rows, record = call('HGETALL', flow_key(id, 'texts')), {}, flow_record(id)
for i = 1, #texts, 2 do
  rows[#rows + 1] = past[texts[i]] or flow_step_row(id, texts[i], texts[i + 1], budget, record)
end
return cmsgpack.pack({ fields, rows, present })
