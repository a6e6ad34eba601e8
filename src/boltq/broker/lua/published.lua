#!lua flags=no-writes
-- published: the job types that workers publish that live: see register.lua.
--   ARGV     now, msgpack of the releases that the caller knows
--   returns  msgpack of [release, [type, JSON]*, or '' for one that is known]*
--@use reading, clock
local known, seen, releases = {}, {}, {}
for _, release in ipairs(cmsgpack.unpack(ARGV[2])) do
  known[release] = true
end
for _, worker in ipairs(call('ZRANGE', workers_key, NOW, '+inf', 'BYSCORE', 'LIMIT', 0, 1000)) do
  local release, wish = unpack(call('HMGET', worker_key(worker), 'release', 'wish'))
  if release and wish ~= 'stopping' and not seen[release] then
    seen[release] = true
    releases[#releases + 1] = { release, known[release] and '' or cmsgpack.unpack(call('HGET', releases_key, release)) }
  end
end
return cmsgpack.pack(releases)
