"""Bugs that job queues and workflows have really had, to be planted in ours: what checks us must find all of them.

Most are a change of the Lua. Each names the text that it replaces, which must be there exactly once, so that a bug
cannot quietly stop being one. Where our design has no place for the bug as it was, the nearest thing takes its part.
"""

from dataclasses import dataclass


class Unplanted(Exception):
    """The text that a bug replaces is not there any more: whatever fails then, it is not the bug that was found."""


@dataclass(frozen=True)
class LuaBug:
    """A bug in the scripts: (file, what stands there, what stands there instead)*."""

    number: int
    name: str
    changes: tuple[tuple[str, str, str], ...]
    scenario: str  # the scripted life that finds it first

    def rewrite(self, name: str, text: str) -> str:
        """For Broker(rewrite=…)."""
        for file, old, new in self.changes:
            if file == name:
                if text.count(old) != 1:
                    raise Unplanted(f"bug {self.number}: {old!r} is not in {file} any more")
                text = text.replace(old, new)
        return text


LUA_BUGS = [
    LuaBug(
        1,
        "a claim in two steps, and the worker dies between them",
        # LPOP in one call, and the mark that somebody holds it in another, which never comes.
        (
            (
                "lib/claims.lua",
                "  move(id, route, 'queued', 'running', nil, 'n', delivery, 'worker', worker.id)\n",
                "  call('HSET', job_key(id), 'n', delivery, 'worker', worker.id)\n",
            ),
        ),
        "every_verb",
    ),
    LuaBug(
        2,
        "settle without a fence",
        (("settle.lua", " or tonumber(n) ~= delivery or", " or"),),
        "fences",
    ),
    LuaBug(
        3,
        "no grace after a restart of the server",
        (
            (
                "reap.lua",
                "  if was then\n    grace.grant()\n    return answer(0, 0, NOW + 1000)\n  end\n",
                "",
            ),
        ),
        "a_restart",
    ),
    LuaBug(
        4,
        "reap by id only",
        # When somebody is gone, what runs is taken back without a look at who holds it now.
        (("reap.lua", "  return not alive[worker]\n", "  return #gone > 0 or not alive[worker]\n"),),
        "the_dead_and_the_living",
    ),
    LuaBug(
        5,
        "promote reads a page and removes all that is due",
        (
            (
                "lib/claims.lua",
                "  budget = budget - #due\n  return #due > 0\n",
                "  budget = budget - #due\n  call('ZREMRANGEBYSCORE', key, '-inf', NOW)\n  return #due > 0\n",
            ),
        ),
        "a_burst",
    ),
    LuaBug(
        6,
        "the idempotency key is written by a second call, which never comes",
        (("submit.lua", "      call('SET', idem_key(key), id .. ' ' .. digest, 'PX', keep)\n", ""),),
        "keys_and_refusals",
    ),
    LuaBug(
        7,
        "a counter that goes up and down, and one way on which it does not",
        # With dependents that are counted down, a step starts twice or never. We count ghosts so.
        (("replay.lua", "    count_ghost(route.queue, list, -1)\n", ""),),
        "ghosts",
    ),
    LuaBug(
        10,
        "prune leaves an index entry behind",
        (("lib/prune.lua", "  if #ids > 0 then call('ZREM', key, unpack(ids)) end\n", ""),),
        "history",
    ),
    LuaBug(
        11,
        "cancel overwrites what has ended",
        (
            ("cancel.lua", "  if not MOVES[state].cancelled then return", "  if state == 'cancelled' then return"),
            ("lib/moves.lua", "  if not (MOVES[from] and MOVES[from][to]) then refuse(", "  if false then refuse("),
        ),
        "every_person",
    ),
    LuaBug(
        13,
        "leases that follow the wall clock",
        # As keys with PX do: a jump of the clock ends all of them at once. Ours are scores, and grace saves them.
        (
            (
                "lib/grace.lua",
                "function grace.grant()\n",
                "function grace.grant()\n  if true then return end\n",
            ),
        ),
        "clocks",
    ),
    LuaBug(
        14,
        "a way back to the queue that is not counted as a delivery",
        (
            (
                "settle.lua",
                "  move(id, route, 'running', 'queued', 'head')\n",
                "  move(id, route, 'running', 'queued', 'head', 'n', call('HGET', job_key(id), 'n') - 1)\n",
            ),
        ),
        "lost_answers",
    ),
    LuaBug(
        15,
        "a fence that does not ask who it is",
        (("settle.lua", " or runner ~= worker then", " then"),),
        "fences",
    ),
    LuaBug(
        16,
        "a claim that was given up takes jobs when it arrives late",
        (("lib/claims.lua", "    if tonumber(number) <= worker.asked then return { {}, worker.asked, -2 } end\n", ""),),
        "a_late_claim",
    ),
]

OTHER_BUGS = {
    8: "the client repeats by itself, and the server makes the ids",
    9: "the client's clock decides when a job is due",
    12: "the heartbeat is a task of the event loop",
}

FLOW_BUGS = [
    LuaBug(
        101,
        "a step that ends is not counted down for another that waits for it",
        (
            (
                "lib/flow_rules.lua",
                "call('HINCRBY', flow_key(w.id, 'left'), dependents[i], -1)",
                "tonumber(call('HGET', flow_key(w.id, 'left'), dependents[i]))",
            ),
        ),
        "a_diamond",
    ),
    LuaBug(
        102,
        "a step is released whether it waits or not",
        (
            (
                "lib/flow_rules.lua",
                "  if state ~= 'blocked' then return false end\n  local due = left and",
                "  local due = left and",
            ),
        ),
        "a_pause",
    ),
    LuaBug(
        103,
        "a step that has begun is decided again when another of its parents ends",
        (("lib/flow_rules.lua", "  if w.ends[n] or (waits and", "  if (waits and"),),
        "early_ones",
    ),
    LuaBug(
        104,
        "a parent that was skipped on purpose counts as one that failed",
        (("lib/flow_rules.lua", "counts.bad + counts.lost > 0 and 'lost' or 'passed'", "'lost'"),),
        "skipped_on_purpose",
    ),
    LuaBug(
        105,
        "what is left of a cascade is forgotten when the budget of its call is used up",
        (("lib/flow_go_on.lua", "    if rest then w.work[#w.work + 1] = { what, n, rest } end\n", ""),),
        "a_long_cascade",
    ),
    LuaBug(
        106,
        "a cancel forgets what a pause has held back",
        (("lib/flow_stop.lua", " or flow.step(w, n).group == 3 then flow.release(id)", " then flow.release(id)"),),
        "a_cancel_in_a_pause",
    ),
    LuaBug(
        107,
        "what a pause has held back is remembered in the next generation",
        (
            (
                "lib/flow_end.lua",
                "    call('DEL', flow_key(w.id, 'held'))\n  end\n  if not w.within",
                "  end\n  if not w.within",
            ),
        ),
        "a_rerun_after_a_pause",
    ),
    LuaBug(
        108,
        "a handler begins before its turn",
        (("lib/flow_rules.lua", "  if step.group > w.group then return end", "  "),),
        "a_handler_is_cancelled",
    ),
    LuaBug(
        109,
        "a failure cancels what is there for it",
        (
            (
                "lib/flow_stop.lua",
                "    if w.ending or not flow.step(w, n).spared then flow.stop_step",
                "    if true then flow.stop_step",
            ),
        ),
        "there_for_a_failure",
    ),
    LuaBug(
        110,
        "a step whose worker was lost runs again in a workflow that is being stopped",
        (("lib/flow_go_on.lua", "  if w and w.state == 'running' and flow.why_cut(w) then\n", "  if false then\n"),),
        "there_for_a_failure",
    ),
    LuaBug(
        111,
        "what becomes ready in a pause is not held back",
        (
            (
                "lib/flow_rules.lua",
                "  if w.paused then\n    call('SADD', flow_key(w.id, 'held'), n)\n  else\n",
                "  if false then\n  else\n",
            ),
        ),
        "a_pause",
    ),
    LuaBug(
        112,
        "time that is up is noticed, and nothing follows",
        (
            (
                "lib/flow_go_on.lua",
                "is_open(w, 1) then flow.cancel(w, 'timed_out') end\n",
                "is_open(w, 1) then w.deadline = nil end\n",
            ),
        ),
        "no_time_left",
    ),
    LuaBug(
        113,
        "an item of a map that failed counts twice",
        (
            (
                "lib/flow_maps.lua",
                "map.good + map.bad + map.gone - map.ahead",
                "map.good + 2 * map.bad + map.gone - map.ahead",
            ),
        ),
        "a_map",
    ),
    LuaBug(
        114,
        "a workflow inside ends, and nobody tells the step that waits for it",
        (("lib/flow_end.lua", "  if w.parent then flow.release(w.parent) end\n", ""),),
        "a_map",
    ),
]
"""Bugs of workflows; each with the scripted life of flow_scenarios.py that finds it."""
