"""The Lua itself: what can be told from its text, and that a server that forgot it is given it again."""

import re
from importlib.resources import files
from pathlib import Path

import pytest

import boltq.broker
from boltq.broker.broker import Broker
from boltq.broker.inspector import Inspector
from boltq.broker.named_rows import ContractBroken
from boltq.broker.scripts import Library
from boltq.domain.job import NewJob

LUA = Path(str(files("boltq.broker").joinpath("lua")))
FILES = sorted(LUA.rglob("*.lua"))
VERBS = sorted(path.stem for path in LUA.glob("*.lua"))
FREES = {
    "settle",
    "extend",
    "cancel",
    "reap",
    "retire",
    "claim",
    "register",
    "open",
    "pause",
    "resume",
    "limit",
    "held",
}

names = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def code(path: Path) -> list[str]:
    return [re.sub(r"(^|\s)--.*$", "", line) for line in path.read_text().splitlines()]


@names
def test_keys_are_named_in_one_file(path: Path) -> None:
    if path.stem != "keys":
        assert not re.search(r"\bP \.\.|\bKEYS\b", "\n".join(code(path)))


@names
def test_every_command_is_on_a_key_of_ours(path: Path) -> None:
    """The first argument is a `…_key`, made by lib/keys.lua, or a name that holds one."""
    keyless = {"TIME", "INFO"}
    for line in code(path):
        for verb, key in re.findall(r"\bcall\(([^,()]+)(?:, *([^,)]+))?", line):
            if verb.strip("'") not in keyless:
                assert re.match(r"\w+_key\b|key\b|unpack\(keys", key), line


@names
def test_times_are_whole_milliseconds(path: Path) -> None:
    """No division whose result is kept as a time, and no text of a number that Lua would round."""
    for line in code(path):
        assert not re.search(r"\btostring\((?!from\b)", line), line
        if re.search(r"\bmicros /", line):
            assert "math.floor" in line or path.stem != "clock", line


@names
def test_user_data_is_not_looked_into(path: Path) -> None:
    assert "cjson" not in path.read_text()


@pytest.mark.parametrize("verb", VERBS)
def test_every_script_has_a_header_a_caller_and_tests(verb: str) -> None:
    text = (LUA / f"{verb}.lua").read_text()
    assert re.search(rf"^-- {verb}: ", text, re.MULTILINE)
    assert re.search(r"^--   ARGV     now", text, re.MULTILINE)
    assert re.search(r"^--   returns |^--   refuses ", text, re.MULTILINE)
    python = "".join(path.read_text() for path in Path(boltq.broker.__file__ or "").parent.rglob("*.py"))
    assert f'"{verb}"' in python
    tests = {"op": "operations", "flow": "workflows"}.get(verb.partition("_")[0], verb)
    assert (Path(__file__).parent / f"test_{tests}.py").exists()


@pytest.mark.parametrize("verb", VERBS)
def test_what_frees_work_is_allowed_when_memory_is_short(verb: str) -> None:
    first = (LUA / f"{verb}.lua").read_text().splitlines()[0]
    if verb in FREES:
        assert "allow-oom" in first
    if verb == "submit":
        assert "allow-oom" not in first


@names
def test_what_a_call_keeps_begins_anew(path: Path) -> None:
    """A variable of a library that is set by its functions is set by its begin_… too: the next call must not see it."""
    lines = code(path)
    text = "\n".join(lines)
    if "lib" not in path.parts:
        return
    declared = {
        name.strip()
        for line in lines
        if (found := re.match(r"local ([a-z_]\w*(?:, *\w+)*)(?: = nil(?:, nil)*)?$", line.strip()))
        and not line.startswith(" ")
        for name in found[1].split(",")
    }
    begin = re.search(
        r"local function begin_\w+\(.*?\)(.*?)\bend\b", text.replace("if ", "").replace("then", ""), re.DOTALL
    )
    later = set(re.findall(r"^(?:function )?(\w+)(?: = function|\()", text, re.MULTILINE))
    set_elsewhere = {name for name in declared if re.search(rf"^(?!local).*\b{name}\b[^=\n]* = ", text, re.MULTILINE)}
    for name in declared - later:
        if name in set_elsewhere:
            assert begin, f"{path.name} keeps {name}, and has no begin_{path.stem}"
            assert re.search(rf"\b{name}\b", begin[1]), f"begin_{path.stem} does not set {name}"


async def test_a_server_that_forgot_everything_is_told_again(desk) -> None:
    await desk.worker()
    redis = desk.broker.redis
    for _ in range(3):
        await redis.execute_command("FUNCTION", "FLUSH")
        await desk.submit()
        await redis.execute_command("FUNCTION", "FLUSH")
        jobs = await desk.claim()
        await redis.execute_command("FUNCTION", "FLUSH")
        assert (await desk.settle(jobs)).refused == []


async def test_two_that_tell_it_at_once(valkey: str, namespace: str) -> None:
    import asyncio

    async with Broker(valkey, namespace=namespace) as first, Broker(valkey, namespace=namespace) as second:
        for _ in range(5):
            await first.redis.execute_command("FUNCTION", "FLUSH")
            await asyncio.gather(*(broker.submit([NewJob(type="x")]) for broker in (first, second) for _ in range(4)))
        assert sum((await Inspector(first).counts()).values()) == 40


async def test_a_call_that_broke_off_leaves_nothing_to_the_next(desk) -> None:
    """A library's variables live on between calls; here a settle fails in the middle, as only a bug could make it."""
    from boltq.broker.consistency import audit
    from boltq.broker.settling import Settling
    from boltq.domain.errors import StoreFault

    ids = await desk.submit(2)
    await desk.worker()
    jobs = await desk.claim(2)
    with pytest.raises(StoreFault):
        await desk.broker.settle(0, "w", [Settling(jobs[0].id, 1, "no such verb", 1)])
    assert await desk.states(*ids) == ["running", "running"]
    assert (await desk.settle(jobs)).refused == []
    assert await audit(desk.broker, pauses=()) == []


def test_each_phase_has_a_function_for_each_thing_that_is_done_to_it() -> None:
    """Or says that it has none: a new one is not forgotten in a place."""

    def forgetful(name: str, text: str) -> str:
        assert name != "lib/flow_phases.lua" or "PHASES.wait.resume = false\n" in text
        return text.replace("PHASES.wait.resume = false\n", "")

    with pytest.raises(ContractBroken, match=r"does not say of wait\.resume$"):
        Library(forgetful)


async def test_the_names_of_a_part_that_nobody_else_uses_do_not_count(valkey, namespace) -> None:
    """Lua allows 200 names in one piece of code, and the parts have more than that together."""

    def with_names(name: str, text: str) -> str:
        mark = name[4:-4]
        own = "\n".join(f"local own_{mark}_{i} = {i}" for i in range(60))
        return f"{text}\n{own}\n" if mark in {"moves", "claims", "prune"} else text

    async with Broker(valkey, namespace=namespace, rewrite=with_names) as broker:
        await broker.submit([NewJob(type="x")])
        assert sum((await Inspector(broker).counts()).values()) == 1
