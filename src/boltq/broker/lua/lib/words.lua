-- Saying no: a refusal is a word and what it is about. It stops the script; nothing has been written yet.
local function refuse(word, about) error({ err = word .. ' ' .. about }) end

-- "queue priority type", taken apart once a call.
local routes
local function begin_words() routes = {} end

local function route_of(text)
  local route = routes[text]
  if not route then
    local queue, priority, type = string.match(text, '^(%S+) (%d) (%S+)$')
    route = { text = text, queue = queue, priority = priority, type = type, list = ready_name(priority) }
    routes[text] = route
  end
  return route
end
