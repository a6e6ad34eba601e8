--@use flow_go_on, births, cancels
-- What every script that moves jobs ends with, in the only order that is right: workflows go on, which makes and moves
-- further jobs; what began is counted; then all notes are written; and workers hear last of what they shall stop.
local function finish()
  flow.go_on()
  count_births()
  commit()
  tell_cancels()
end
