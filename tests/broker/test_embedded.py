"""The embedded store keeps the data, one server a directory, and everyone else out.

The tests named e1 to e10 each keep one trap of the server's own launcher shut.
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ConnectionError as RedisConnectionError,
    RedisError,
    ResponseError,
)
from redis.retry import Retry

from boltq.broker.embedded import EmbeddedError, EmbeddedStore, StoreOptions, files, server

# A process that uses the store until its standard input ends.
USER = """
import sys
from pathlib import Path
from boltq.broker.embedded import EmbeddedStore

store = EmbeddedStore(Path(sys.argv[1]))
store.start()
if "watch" in sys.argv:
    store.watch()
print(store.pid, flush=True)
sys.stdin.read()
store.stop()
"""


class User:
    """Another process that uses the store."""

    def __init__(self, directory: Path, *words: str) -> None:
        self.directory = directory
        self.process = subprocess.Popen(
            [sys.executable, "-c", USER, str(directory), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )

    def wait_for_server(self) -> int:
        return int(self.process.stdout.readline())

    def stop(self) -> None:
        self.process.communicate()
        assert self.process.returncode == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited for a minute"
        time.sleep(0.01)
    return found


def kill_server(store: EmbeddedStore) -> None:
    pid = store.pid
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not store.running or store.pid != pid)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def stores(directory):
    """Makes stores, all of them gone when the test ends."""
    made: list[EmbeddedStore] = []

    def make(place: Path = directory, options: StoreOptions | None = None, **rest) -> EmbeddedStore:
        made.append(EmbeddedStore(place, options, **rest))
        return made[-1]

    yield make
    for store in made:
        store.stop()
    for store in made:
        if store.running:  # an orphan
            with store:
                pass


@pytest.fixture
def store(stores):
    store = stores()
    store.start()
    return store


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One store for the tests that only ask it things."""
    with EmbeddedStore(tmp_path_factory.mktemp("shared")) as store:
        yield store


@pytest.fixture
def users(directory, stores):
    """Starts other processes that use the store, all of them gone when the test ends."""
    made: list[User] = []

    def make(*words: str, place: Path = directory) -> User:
        made.append(User(place, *words))
        return made[-1]

    yield make
    for user in made:
        user.kill()
        stores(user.directory)  # which may have an orphan now


@pytest.fixture
def connect():
    """Makes clients that do not retry."""
    clients: list[Redis] = []

    def make(url: str, **rest) -> Redis:
        rest = {"retry": Retry(NoBackoff(), 0), "decode_responses": True} | rest
        clients.append(Redis.from_url(url, **rest))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


# --- E1: the launcher's default keeps nothing -------------------------------------------------------------------


def test_e1_data_survive_a_graceful_restart(store, connect):
    connect(store.url).set("job", "here")
    store.stop()
    store.start()
    assert connect(store.url).get("job") == "here"


def test_e1_data_survive_a_killed_server(store, connect):
    connect(store.url).set("job", "here")
    kill_server(store)
    assert store.ensure_running()
    assert connect(store.url).get("job") == "here"


def test_e1_data_survive_a_torn_last_record(store, connect):
    """A power cut may leave half a command at the end of the file."""
    connect(store.url).set("job", "here")
    store.stop()
    (newest,) = (store.directory / "appendonlydir").glob("*.incr.aof")
    with newest.open("ab") as file:
        file.write(b"*3\r\n$3\r\nSET\r\n$5\r\nother\r\n$100\r\nhal")
    store.start()
    assert connect(store.url).mget("job", "other") == ["here", None]


def test_e1_the_server_is_told_to_be_durable(stores, connect):
    store = stores(fsync="always")
    client = connect(store.start())
    wanted = {
        "appendonly": "yes",
        "appendfsync": "always",
        "aof-load-truncated": "yes",
        "aof-timestamp-enabled": "yes",
        "save": "",
        "maxmemory-policy": "noeviction",
    }
    assert client.config_get(*wanted) == wanted


# --- E2: the launcher starts a second server on the same files --------------------------------------------------


def test_e2_after_its_launcher_was_killed_the_server_is_attached_to(users, stores, connect):
    first = users()
    server = first.wait_for_server()
    first.kill()

    second = stores()
    assert second.running
    assert not second.in_use  # an orphan
    connect(second.start()).set("job", "here")
    assert second.pid == server
    assert not second.launched
    second.stop()
    assert not second.running


def test_e2_processes_that_start_at_once_share_one_server(users):
    crowd = [users() for _ in range(4)]
    assert len({user.wait_for_server() for user in crowd}) == 1


def test_e2_threads_that_start_at_once_share_one_server(stores):
    crowd = [stores() for _ in range(8)]
    threads = [threading.Thread(target=store.start) for store in crowd]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({store.pid for store in crowd}) == 1
    assert [store.launched for store in crowd].count(True) == 1


def test_e2_a_server_killed_while_it_rewrote_its_file_is_replaced(store, stores, connect):
    """The child that rewrites outlives it for a moment, and holds the inherited lock."""
    admin = connect(store.admin_url)
    admin.mset({f"job:{n}": "here" for n in range(1000)})
    admin.config_set("rdb-key-save-delay", 1_000_000)  # microseconds a key: it would take a quarter of an hour
    admin.bgrewriteaof()
    wait_for(psutil.Process(store.pid).children)

    os.kill(store.pid, signal.SIGKILL)
    assert store.ensure_running()
    assert connect(store.url).get("job:999") == "here"


# --- E3, E4: the launcher's server dies first, and ungracefully -------------------------------------------------


def test_e3_ctrl_c_does_not_reach_the_server(users, stores, connect):
    user = users()
    server = user.wait_for_server()
    os.killpg(user.process.pid, signal.SIGINT)
    store = stores()
    assert connect(store.url).ping()  # a signal would have arrived before the reply
    assert "SIGINT" not in store.log_file.read_text()
    assert os.getsid(server) == server


def test_e4_the_last_one_out_shuts_the_server_down_gracefully(stores, monkeypatch):
    launched = []

    class Popen(subprocess.Popen):
        def __init__(self, *args, **rest):
            super().__init__(*args, **rest)
            launched.append(self)

    monkeypatch.setattr(subprocess, "Popen", Popen)
    with stores() as store:
        assert store.running
    (server,) = launched
    assert server.wait() == 0
    assert "Calling fsync() on the AOF file" in store.log_file.read_text()
    assert "ready to exit" in store.log_file.read_text()


# --- E5, E6: the launcher's server does not start in some directories -------------------------------------------


@pytest.mark.parametrize("name", ["My Project", "naïve ☃ 職", 'it\'s "so" \\called\\ #1%20?', "new\nline"])
def test_e5_any_directory_name_will_do(stores, connect, tmp_path, name):
    store = stores(tmp_path / name / "data")
    connect(store.start()).set("job", "here")
    store.stop()
    assert connect(store.start()).get("job") == "here"
    assert (tmp_path / name / "data" / "appendonlydir").is_dir()


@pytest.fixture
def deep(tmp_path):
    path = tmp_path
    while len(str(path)) < 190:
        path = path / "deeper-and-deeper"
    return path


def test_e6_a_path_too_long_for_a_socket_gets_a_short_private_one(stores, users, connect, deep):
    store = stores(deep)
    connect(store.start()).set("job", "here")
    short = Path(connect(store.url).config_get("unixsocket")["unixsocket"]).parent
    assert mode(short) == 0o700

    other = users(place=deep)
    assert other.wait_for_server() == store.pid
    other.stop()

    url = store.url
    kill_server(store)
    store.ensure_running()
    assert store.url == url  # others have it

    store.stop()
    assert not short.exists()
    assert connect(store.start()).get("job") == "here"


def test_e6_the_short_socket_goes_where_we_say(stores, deep, tmp_path):
    store = stores(deep, runtime_dir=tmp_path)
    assert store.start().startswith(f"unix://{tmp_path}/boltq-")


def test_e6_a_socket_that_others_could_have_placed_is_not_trusted(stores, users, deep):
    user = users(place=deep)
    user.wait_for_server()
    short = Path((deep / "socket").read_text()).parent
    short.chmod(0o777)
    with pytest.raises(EmbeddedError, match="lost its socket"):
        stores(deep).start()
    short.chmod(0o700)


def test_e6_a_copy_of_a_data_directory_is_a_store_of_its_own(stores, connect, deep, tmp_path):
    original = stores(deep)
    connect(original.start()).set("job", "original")
    copied = deep.with_name("copied-copied-copied")
    shutil.copytree(deep, copied, ignore=lambda _, names: [name for name in names if name.endswith(".sock")])

    copy = stores(copied)
    connect(copy.start()).set("job", "copy")
    assert copy.pid != original.pid
    copy.stop()
    assert connect(original.url).get("job") == "original"


# --- E7 to E10: the launcher's server is open to others ---------------------------------------------------------


def test_e7_a_store_with_a_password_starts_and_asks_for_it(stores, connect):
    options = StoreOptions(password=secrets.token_urlsafe() + " @:/%#é")
    store = stores(options=options)
    assert connect(store.start()).ping()
    with pytest.raises(AuthenticationError):
        connect(store.url.replace(store.url[7 : store.url.index("@") + 1], "")).ping()
    with pytest.raises(EmbeddedError, match="has another password"):
        stores().start()
    assert options.password not in repr(options)
    assert options.password not in " ".join(psutil.Process(store.pid).cmdline())
    second = stores(options=options)
    second.start()
    assert second.pid == store.pid


def test_e8_nobody_else_can_read_anything(store, connect):
    connect(store.url).set("job", "here")
    assert mode(store.directory) == 0o700
    files = [path for path in store.directory.rglob("*") if path.name != ".gitignore"]
    assert {path.name: oct(mode(path)) for path in files if mode(path) & 0o077} == {}
    assert {"admin", "store.log", "store.sock", "appendonlydir"} <= {path.name for path in files}


def test_e8_an_empty_directory_is_closed_to_others_first(stores, directory):
    directory.mkdir(mode=0o755)
    stores().start()
    assert mode(directory) == 0o700


def test_e8_a_directory_with_other_things_in_it_is_left_alone(stores, directory):
    directory.mkdir(mode=0o755)
    (directory / "letter.txt").touch()
    with pytest.raises(EmbeddedError, match="not empty and open to others"):
        stores().start()
    assert mode(directory) == 0o755


def test_e8_a_directory_of_another_user_is_refused(stores, directory, monkeypatch):
    directory.mkdir(mode=0o700)
    owner = directory.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(EmbeddedError, match="belongs to another user"):
        stores().start()


def test_e9_no_port_is_open(store, connect):
    assert connect(store.url).config_get("port") == {"port": "0"}
    assert psutil.Process(store.pid).net_connections(kind="inet") == []


@pytest.mark.parametrize(
    "command",
    [
        "CONFIG SET tls-port 6390",
        "CONFIG SET dir /",
        "CONFIG REWRITE",
        "DEBUG SEGFAULT",
        "SHUTDOWN",
        "FLUSHALL",
        "FLUSHDB",
        "SWAPDB 0 0",
        "MODULE LOAD /tmp/x.so",
        "REPLICAOF 127.0.0.1 1",
        "MIGRATE 127.0.0.1 1 job 0 1",
        "ACL SETUSER default +@all",
        "CLIENT KILL TYPE normal",
        "CLIENT PAUSE 60000",
        "SCRIPT FLUSH",
        "FUNCTION FLUSH",
        "MONITOR",
        "KEYS *",
    ],
)
def test_e10_an_application_can_do_nothing_to_the_server(shared, connect, command):
    client = connect(shared.url)
    with pytest.raises(ResponseError, match=r"no permissions|not allowed"):
        client.execute_command(*command.split())
    script = "return redis.call(unpack(ARGV))"
    with pytest.raises(RedisError, match=r"not allowed from script|ACL failure"):
        client.eval(script, 0, *command.split())
    assert connect(shared.url).ping()


@pytest.mark.parametrize(
    "command",
    [
        ["EVAL", "#!lua flags=allow-oom\nreturn redis.call('SET', KEYS[1], 1)", 1, "{boltq:0}:x"],
        ["EVAL", "return redis.call('INFO', 'server')", 0],
        ["EVAL", "return redis.call('TIME')", 0],
        ["EVAL", "return #cmsgpack.pack({1})", 0],
        ["SCRIPT", "LOAD", "return 1"],
        ["SCRIPT", "EXISTS", "a" * 40],
        ["BLPOP", "nothing", 0.01],
        ["BLMOVE", "nothing", "nowhere", "LEFT", "RIGHT", 0.01],
        ["XADD", "events", "MAXLEN", "~", 10, "*", "a", 1],
        ["XREAD", "BLOCK", 10, "STREAMS", "events", "$"],
        ["XINFO", "STREAM", "events"],
        ["SCAN", 0],
        ["OBJECT", "ENCODING", "events"],
        ["MEMORY", "USAGE", "events"],
        ["DBSIZE"],
        ["INFO"],
        ["TIME"],
        ["CONFIG", "GET", "maxmemory"],
        ["SLOWLOG", "GET"],
        ["LATENCY", "LATEST"],
        ["COMMAND COUNT"],
        ["CLIENT", "ID"],
        ["CLIENT", "SETNAME", "worker"],
        ["PUBLISH", "channel", "message"],
        ["WAITAOF", 0, 0, 10],
    ],
    ids=lambda command: " ".join(map(str, command[:2]))[:40],
)
def test_e10_an_application_can_do_all_that_it_needs(shared, connect, command):
    client = connect(shared.url)
    client.xadd("events", {"a": 1})
    client.execute_command(*command)


def test_e10_an_application_can_use_transactions_and_subscriptions(shared, connect):
    client = connect(shared.url)
    with client.pipeline(transaction=True) as pipe:
        pipe.watch("a")
        pipe.multi()
        assert pipe.set("a", 1).get("a").execute() == [True, "1"]
    with client.pubsub() as pubsub:
        pubsub.subscribe("channel")
        pubsub.psubscribe("chan*")
        assert pubsub.get_message(timeout=10)["type"] == "subscribe"


def test_the_admin_may_do_everything(stores, connect):
    store = stores(options=StoreOptions(debug_command=True))
    store.start()
    admin = connect(store.admin_url)
    assert admin.config_set("maxmemory", "100mb")
    assert admin.execute_command("DEBUG", "SET-ACTIVE-EXPIRE", "1")
    assert admin.flushall()


# --- users come and go ------------------------------------------------------------------------------------------


def test_the_server_stays_until_the_last_one_is_out(store, users):
    other = users()
    assert other.wait_for_server() == store.pid
    store.stop()
    assert store.running
    assert store.in_use
    other.stop()
    assert not store.running


def test_a_killed_user_does_not_count(store, users):
    other = users()
    other.wait_for_server()
    other.kill()
    store.stop()
    assert not store.running


def test_starting_and_stopping_twice_is_as_good_as_once(store):
    pid = store.pid
    assert store.start() == store.url
    assert store.pid == pid
    store.stop()
    store.stop()
    assert not store.running


def test_a_store_that_was_never_started_has_no_server(stores, directory):
    store = stores()
    assert not store.running
    assert not store.in_use
    assert not store.launched
    assert not directory.exists()
    with pytest.raises(EmbeddedError, match="not started"):
        store.ensure_running()
    with pytest.raises(EmbeddedError, match="not started"):
        store.watch()


def test_who_wants_more_durability_raises_it_for_all(store, stores, connect):
    stores(fsync="always").start()
    stores(fsync="everysec").start()
    assert connect(store.url).config_get("appendfsync") == {"appendfsync": "always"}


def test_a_symlink_names_the_same_store(store, stores, tmp_path):
    (tmp_path / "link").symlink_to(store.directory)
    other = stores(tmp_path / "link")
    assert other.start() == store.url
    assert other.pid == store.pid


# --- a server that died -----------------------------------------------------------------------------------------


def test_a_watched_server_comes_back_with_its_data(store, connect):
    connect(store.url).set("job", "here")
    store.watch()
    first = store.pid
    for _ in range(2):
        kill_server(store)
        wait_for(lambda: ask(connect, store) == "here")
    assert store.pid != first
    assert not store.ensure_running()


def test_many_watch_and_one_relaunches(store, users, connect):
    crowd = [users("watch") for _ in range(2)]
    for user in crowd:
        user.wait_for_server()
    store.watch()
    connect(store.url).set("job", "here")
    kill_server(store)
    wait_for(lambda: ask(connect, store) == "here")
    for user in crowd:
        user.stop()
    assert ask(connect, store) == "here"
    assert store.log_file.read_text().count("Valkey is starting") == 2


def test_watching_ends_with_the_store(store):
    store.watch()
    store.watch()
    store.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "boltq-store-watch"]
    assert not store.running


def test_a_watched_server_that_cannot_start_is_tried_again(store, connect, caplog):
    connect(store.url).set("job", "here")
    kept = store.directory / "kept"
    manifest = store.directory / "appendonlydir" / "appendonly.aof.manifest"
    shutil.copy(manifest, kept)
    manifest.write_text("nonsense\n")
    store.watch()
    kill_server(store)
    wait_for(lambda: "trying again" in caplog.text)
    kept.replace(manifest)
    wait_for(lambda: ask(connect, store) == "here")


def ask(connect, store):
    with suppress(RedisConnectionError):
        return connect(store.url).get("job")


def test_a_store_that_loads_is_waited_for(store, stores, connect, monkeypatch):
    """Loading is not silence, so it may take longer than our patience."""
    with connect(store.url).pipeline(transaction=False) as pipe:
        for n in range(50_000):
            pipe.set(f"job:{n}", "here")
        pipe.execute()
    store.stop()

    orders = server.configuration
    monkeypatch.setattr(server, "configuration", lambda *args: orders(*args) + b"key-load-delay 100\n")
    patient = stores(options=StoreOptions(patience=0))
    ask = patient._server._ask
    seen = []

    def hurrying(*command):
        try:
            ask(*command)
        except BusyLoadingError:
            if not seen:
                seen.append("loading")
                ask("CONFIG", "SET", "key-load-delay", "0")
            raise

    monkeypatch.setattr(patient._server, "_ask", hurrying)
    assert connect(patient.start()).get("job:49999") == "here"
    assert seen == ["loading"]


def test_a_busy_server_is_attached_to(store, stores, connect):
    admin = connect(store.admin_url)
    admin.config_set("busy-reply-threshold", 1)
    looping = threading.Thread(target=loop_in_script, args=[connect(store.url)])
    looping.start()
    try:
        wait_for(lambda: refusal(admin).startswith("BUSY"))
        other = stores()
        other.start()
        assert other.pid == store.pid
    finally:
        admin.script_kill()
        looping.join()


def loop_in_script(client):
    with suppress(ResponseError):
        client.eval("while true do end", 0)


def refusal(client) -> str:
    try:
        client.ping()
    except ResponseError as error:
        return str(error)
    return ""


def test_a_server_whose_socket_was_removed_is_replaced_by_its_only_user(store, stores, connect, monkeypatch):
    monkeypatch.setattr(server, "UNHEARD_SECONDS", 0)
    connect(store.url).set("job", "here")
    (store.directory / "store.sock").unlink()
    with pytest.raises(EmbeddedError, match="stop its users first"):
        stores().start()
    monkeypatch.setattr(server, "UNHEARD_SECONDS", 15.0)
    store.stop()
    assert not store.running

    store.start()
    (store.directory / "store.sock").unlink()
    monkeypatch.setattr(server, "UNHEARD_SECONDS", 0.1)
    assert store.ensure_running()
    assert connect(store.url).get("job") == "here"


def test_a_server_that_hangs_is_named(store, stores, monkeypatch):
    monkeypatch.setattr(server, "REPLY_SECONDS", 0.1)
    os.kill(store.pid, signal.SIGSTOP)
    try:
        with pytest.raises(EmbeddedError, match=rf"process {store.pid}.* is alive but silent"):
            stores(options=StoreOptions(patience=0)).start()
    finally:
        os.kill(store.pid, signal.SIGCONT)


# --- what cannot be ---------------------------------------------------------------------------------------------


def test_a_file_in_place_of_the_directory_is_named(stores, directory):
    directory.touch()
    with pytest.raises(EmbeddedError, match="set REDIS_ADDR") as refusal:
        stores().start()
    assert str(directory) in str(refusal.value)


def test_the_last_words_of_a_server_that_does_not_start_are_told(store, stores, connect):
    connect(store.url).set("job", "here")
    store.stop()
    (store.directory / "appendonlydir" / "appendonly.aof.manifest").write_text("nonsense\n")
    other = stores()
    with pytest.raises(EmbeddedError, match="Invalid AOF manifest file format") as refusal:
        other.start()
    assert "starting oO0OoO0OoO0Oo" not in str(refusal.value).splitlines()[0]
    assert not other.in_use  # it holds nothing after it failed


def test_a_platform_without_a_server_is_named(stores, monkeypatch):
    monkeypatch.setattr(server.platform, "machine", lambda: "pdp11")
    with pytest.raises(EmbeddedError, match=r"pdp11.*set REDIS_ADDR"):
        stores().start()


def test_a_long_log_is_set_aside(store):
    store.stop()
    with store.log_file.open("ab") as log:
        log.truncate(files.LOG_BYTES + 1)
    store.start()
    assert store.log_file.stat().st_size < 10_000
    assert store.log_file.with_name("store.log.1").stat().st_size == files.LOG_BYTES + 1


def test_git_ignores_the_data(store):
    assert (store.directory / ".gitignore").read_text() == "*\n"
