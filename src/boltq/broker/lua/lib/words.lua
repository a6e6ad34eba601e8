-- Saying no: a refusal is a word and what it is about. It stops the script; nothing has been written yet.
local function refuse(word, about) error({ err = word .. ' ' .. about }) end

-- Why one item of a batch is refused, as a word; nil when it is not. `wanted`: since when the job must have been in its
-- state, as the caller has seen it; 0 when that does not matter.
local function refusal(state, since, wanted)
  if not state then return 'NOT_FOUND' end
  if wanted ~= 0 and tonumber(since) ~= wanted then return 'CHANGED ' .. state end
  return nil
end

-- Refused because of its state, and the workflow to which it belongs, if there is one.
local function conflict(state, flow)
  return 'CONFLICT ' .. state .. (flow and ' ' .. string.match(flow, '^%S+') or '')
end

local function words(text)
  local list = {}
  for word in string.gmatch(text, '%S+') do
    list[#list + 1] = word
  end
  return list
end

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

-- The list in which a queued job waits.
local function standing(route, parked) return parked and parked_name(route.type) or route.list end
