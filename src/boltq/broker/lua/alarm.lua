#!lua flags=allow-oom
-- alarm: somebody has noticed what all should know: it is kept for a day, and every process hears of it.
--   ARGV     now, kind: went_back or unknown_worker, text
--   returns  1
--@use history
history.alarm(ARGV[2], ARGV[3])
history.go_on(0)
return 1
