"""`fetch_data` over real connections: what it brings, where it does not go, and how much it takes."""

import asyncio
import gzip
import logging
import ssl
import subprocess
import time
import tracemalloc
from email.utils import formatdate

import pytest

from boltq import BoltQ, Category, DataError, RateLimited, RetryLater, RetryPolicy, Settings, TransientError
from boltq.tasks import add_to, http_get
from boltq.tasks.addresses import Reach

SECRET = "planted-secret-4711"


def fetching(site):
    """The task, on an application that may reach the site."""
    app = BoltQ(settings=site.settings)
    add_to(app)
    return app.tasks["fetch_data"]


async def get(site, path="/", headers=None, *, max_bytes=1 << 20, **options):
    return await http_get.get(site.url + path, headers or {}, reach=site.reach, max_bytes=max_bytes, **options)


def category(error: BaseException) -> Category:
    return RetryPolicy().category_of(error)


# --- what it brings -------------------------------------------------------------------------------------------------


async def test_csv_as_the_first_documents_ask_for_it(site, say):
    """Only a URL: {"url": "https://example.com/data.csv"}."""
    body = b"city,amount\nGhent,3\nLille,4\n"
    site.pages["/data.csv"] = say(body, content_type="application/octet-stream")
    assert await fetching(site)(url=f"{site.url}/data.csv?token={SECRET}#part") == {
        "status": 200,
        "url": f"{site.url}/data.csv",
        "content_type": "application/octet-stream",
        "format": "csv",
        "bytes": len(body),
        "rows": [{"city": "Ghent", "amount": "3"}, {"city": "Lille", "amount": "4"}],
    }
    assert site.heads[0].startswith(f"GET /data.csv?token={SECRET} HTTP/1.1\r\nHost: 127.0.0.1:{site.port}\r\n")


async def test_json_and_text_and_what_one_asks_for(site, say):
    fetch = fetching(site)
    site.pages["/json"] = say('{"a": [1, "é"]}'.encode(), content_type="application/json")
    site.pages["/page"] = say(b"<p>hello</p>", content_type="text/html; charset=ascii")
    site.pages["/x.tsv"] = say(b"a\tb\n1\t2\n")
    assert (await fetch(url=f"{site.url}/json"))["json"] == {"a": [1, "é"]}
    assert (await fetch(url=f"{site.url}/json", format="text"))["text"] == '{"a": [1, "é"]}'
    assert (await fetch(url=f"{site.url}/page"))["text"] == "<p>hello</p>"
    assert (await fetch(url=f"{site.url}/x.tsv", numbers=True))["rows"] == [{"a": 1, "b": 2}]
    with pytest.raises(DataError, match="not JSON"):
        await fetch(url=f"{site.url}/page", format="json")
    with pytest.raises(DataError, match="delimiter"):
        await fetch(url=f"{site.url}/x.tsv", delimiter="ab")


async def test_gzip_is_unpacked_in_one_part_or_several(site, say):
    packed = gzip.compress(b"hello, ") + gzip.compress(b"world")
    site.pages["/"] = say(packed, content_encoding="gzip")
    assert (await get(site)).body == b"hello, world"
    site.pages["/"] = say(b"", content_encoding="gzip")
    assert (await get(site)).body == b""
    assert "accept-encoding: gzip\r\n" in site.heads[0]


async def test_headers_are_sent(site, say):
    site.pages["/"] = say(b"ok")
    await get(site, headers={"Authorization": f"Bearer {SECRET}", "X-Empty": "", "User-Agent": "mine"})
    head = site.heads[0].lower()
    assert f"\r\nauthorization: bearer {SECRET}\r\n" in head
    assert "\r\nuser-agent: mine\r\n" in head
    assert "\r\nx-empty: \r\n" in head


# --- what may be asked ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://example.com/", "http://"),
        ("file:///etc/passwd", "http://"),
        ("gopher://127.0.0.1:6379/_FLUSHALL", "http://"),
        ("unix:/run/valkey.sock", "http://"),
        ("//example.com/", "http://"),
        ("example.com", "http://"),
        ("", "http://"),
        ("http://", "no host"),
        ("http:///path", "no host"),
        (f"http://user:{SECRET}@example.com/", "password"),
        ("http://@example.com/", "password"),
        ("http://example.com:6379/", "port 6379 is not allowed, only 80, 443"),
        ("http://example.com:0/", "port 0"),
        ("http://example.com:99999/", "url: "),
        ("http://example.com:x/", "url: "),
        ("http://exa mple.com/", "space"),
        ("http://example.com/a b", "space"),
        ("http://example.com/\r\nHost: evil.example", "line break"),
        ("http://example.com/\nX: y", "line break"),
        ("http://example.com/\x00", "control"),
        ("http://example.com\\@evil.example/", "backslash"),
        ("http://exa\u2028mple.com/", "line break"),
        ("http://[::1", "url: "),
        ("http://[::1%25lo]/", "zone"),
        ("http://[fe80::1%lo]/", "zone"),
        ("http://[not-an-address]/", "url: "),
        ("http://exam<ple.com/", "no name of a host"),
        ("http://" + "a" * 300 + ".com/", "no name of a host"),
        ("http://" + "é" * 100 + ".com/", "url: "),
        ("http://example.com/" + "a" * 9_000, "longer than"),
    ],
)
async def test_a_url_that_is_none_is_refused_before_anything_is_looked_up(url, reason):
    async def never(host, port):
        raise AssertionError("looked up")

    with pytest.raises(DataError, match=reason) as caught:
        await http_get.get(url, {}, reach=Reach(), max_bytes=100, resolve=never)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("HTTP://EXAMPLE.com", ("http", "example.com", 80, "/")),
        ("https://example.com:443/a/../b?q=1&r=%20#x", ("https", "example.com", 443, "/a/../b?q=1&r=%20")),
        ("http://bücher.example/ü?ä=ö", ("http", "xn--bcher-kva.example", 80, "/%C3%BC?%C3%A4=%C3%B6")),
        ("http://[2606:4700::1111]/", ("http", "2606:4700::1111", 80, "/")),
    ],
)
def test_a_url_is_read_once(url, asked):
    target = http_get.parse_url(url, Reach())
    assert (target.scheme, target.host, target.port, target.asked) == asked


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"X-A": f"{SECRET}\r\nX-B: 1"}, "the value of X-A"),
        ({"X-A": f"{SECRET}\n"}, "the value of X-A"),
        ({"X-A": f"{SECRET}\x00"}, "the value of X-A"),
        ({"X-A": f"{SECRET}é"}, "the value of X-A"),
        ({"X-A\r\nX-B": "1"}, "is no name of a header"),
        ({"X A": "1"}, "is no name of a header"),
        ({"X:": "1"}, "is no name of a header"),
        ({"": "1"}, "is no name of a header"),
        ({"Host": "evil.example"}, "Host is not yours"),
        ({"content-length": "5"}, "not yours"),
        ({"Transfer-Encoding": "chunked"}, "not yours"),
        ({"Connection": "upgrade"}, "not yours"),
        ({"Proxy-Authorization": SECRET}, "not yours"),
        ({f"X-{n}": "1" for n in range(51)}, "at most 50"),
        ({"X-A": "x" * 20_000}, "16384"),
    ],
)
def test_a_header_that_would_break_a_request_is_refused(headers, reason):
    with pytest.raises(DataError, match=reason) as caught:
        http_get.checked_headers(headers)
    assert SECRET not in str(caught.value)


# --- where it goes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "[::ffff:127.0.0.1]",
     "[64:ff9b::7f00:1]", "169.254.169.254", "[fd00:ec2::254]", "0", "10.0.0.1", "100.100.100.200"],
)  # fmt: skip
async def test_an_address_that_is_not_public_is_not_connected_to(host):
    """However it is written."""
    with pytest.raises(DataError, match=r"which fetch_data may not reach|no name of a host"):
        await http_get.get(f"http://{host}/", {}, reach=Reach(), max_bytes=100)


async def test_a_name_is_refused_when_one_of_its_addresses_is_private(site, say):
    """A second address would be tried when the first one does not answer."""

    async def resolve(host, port):
        return ["93.184.216.34", "10.0.0.1"]

    with pytest.raises(DataError, match="private address"):
        await http_get.get("http://two.example/", {}, reach=Reach(), max_bytes=100, resolve=resolve)


async def test_a_name_that_changes_its_mind_is_asked_once(site, say):
    """DNS rebinding: the address that was checked is the one that is connected to."""
    site.pages["/"] = say(b"ok")
    answers = [["127.0.0.1"], ["10.0.0.1"]]

    async def resolve(host, port):
        assert (host, port) == ("rebinding.example", site.port)
        return answers.pop(0)

    url = f"http://rebinding.example:{site.port}/"
    found = await http_get.get(url, {}, reach=site.reach, max_bytes=100, resolve=resolve)
    assert found.body == b"ok"
    assert answers == [["10.0.0.1"]]
    assert f"Host: rebinding.example:{site.port}\r\n" in site.heads[0]


async def test_a_name_that_turns_private_later_is_refused_then(site, say):
    """Each redirect is a new look-up, and a new check."""
    site.pages["/"] = say(b"", "302 Found", location="/again")
    answers = [["127.0.0.1"], ["10.0.0.1"]]

    async def resolve(host, port):
        return answers.pop(0)

    with pytest.raises(DataError, match="private address"):
        await http_get.get(
            f"http://rebinding.example:{site.port}/", {}, reach=site.reach, max_bytes=100, resolve=resolve
        )


@pytest.mark.parametrize(
    "location",
    ["http://169.254.169.254/latest/meta-data/", "http://10.0.0.1/", "http://[::1]/", "//127.0.0.2/", "file:///etc/passwd",
     "http://127.0.0.1:6379/", "http://127.0.0.1\r\n:80/", "http://user:pw@127.0.0.1/", "gopher://x/",
     "http://[bad/"],
)  # fmt: skip
async def test_a_redirect_to_where_it_may_not_go_is_not_followed(site, say, location):
    site.pages["/"] = say(b"", "302 Found", location=location.replace("\r\n", "%0d%0a"))
    reach = Reach(frozenset({80, 443, site.port}), site.reach.networks)
    with pytest.raises(DataError):
        await http_get.get(site.url, {}, reach=reach, max_bytes=100)
    assert len(site.heads) == 1


async def test_redirects_are_followed_three_times(site, say):
    for at in range(4):
        site.pages[f"/{at}"] = say(b"", "301 Moved Permanently", location=f"{at + 1}?x=1")
    site.pages["/4"] = say(b"here")
    assert (await get(site, "/1")).body == b"here"
    assert (await get(site, "/1")).url.shown == f"{site.url}/4"
    with pytest.raises(DataError, match="more than 3 redirects"):
        await get(site, "/0")


async def test_a_redirect_loop_ends(site, say):
    site.pages["/"] = say(b"", "307 Temporary Redirect", location="/")
    with pytest.raises(DataError, match="more than 3 redirects"):
        await get(site)
    assert len(site.heads) == 4


async def test_secrets_stay_with_the_host_that_they_are_for(site, say):
    """Another name is another host, even on the same address."""
    site.pages["/"] = say(b"", "302 Found", location="/same")
    site.pages["/same"] = say(b"", "302 Found", location=f"http://localhost:{site.port}/other")
    site.pages["/other"] = say(b"ok")
    secrets = {"Authorization": SECRET, "Cookie": SECRET, "X-Api-Key": SECRET, "Accept": "text/plain"}

    async def resolve(host, port):
        return ["127.0.0.1"]

    await get(site, "/", secrets, resolve=resolve)
    first, same, other = site.heads
    assert first.count(SECRET) == same.count(SECRET) == 3
    assert SECRET not in other
    assert "accept: text/plain" in other


async def test_proxies_of_the_environment_are_not_asked(site, say, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    site.pages["/"] = say(b"ok")
    assert (await get(site)).body == b"ok"


async def test_the_next_address_is_tried_when_one_does_not_answer(site, say):
    site.pages["/"] = say(b"ok")
    reach = Reach(site.reach.ports, Reach.of(Settings(fetch_allow="127.0.0.0/8")).networks)

    async def resolve(host, port):
        return ["127.0.0.9", "127.0.0.1"]  # nothing listens on the first

    url = f"http://two.example:{site.port}/"
    assert (await http_get.get(url, {}, reach=reach, max_bytes=100, resolve=resolve)).body == b"ok"


async def test_the_certificate_is_checked_for_the_name_that_was_asked_for(tmp_path, say):
    """Name and SNI are those of the URL, though the connection goes to an address."""
    context, trusting = certificates(tmp_path, "secure.example")
    names = []
    context.sni_callback = lambda _socket, name, _context: names.append(name)

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(say(b"secret"))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    reach = Reach(frozenset({port}), Reach.of(Settings(fetch_allow="127.0.0.1")).networks)

    async def resolve(host, port):
        return ["127.0.0.1"]

    async def get_from(host, tls):
        url = f"https://{host}:{port}/"
        return await http_get.get(url, {}, reach=reach, max_bytes=100, resolve=resolve, tls=tls)

    assert (await get_from("secure.example", trusting)).body == b"secret"
    with pytest.raises(TransientError, match="Hostname mismatch"):
        await get_from("other.example", trusting)
    with pytest.raises(TransientError, match="certificate verify failed"):
        await get_from("secure.example", None)
    assert names == ["secure.example", "other.example", "secure.example"]
    server.close()


def certificates(folder, name):
    """A server's context with a certificate of its own for a name, and a client's that trusts it."""
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem"]
    command += ["-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("needs openssl")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context, ssl.create_default_context(cafile=str(folder / "cert.pem"))


# --- how much and how long ------------------------------------------------------------------------------------------


async def test_an_answer_may_be_as_large_as_it_may_and_no_larger(site, say):
    site.pages["/"] = say(b"x" * 1_000)
    assert len((await get(site, max_bytes=1_000)).body) == 1_000
    with pytest.raises(DataError, match="larger than max_bytes=999"):
        await get(site, max_bytes=999)


async def test_an_answer_without_a_length_is_cut_off_while_it_comes(site):
    """It would never end."""
    sent = 0

    async def flood(writer):
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        while True:
            writer.write(b"x" * 10_000)
            sent += 10_000
            await writer.drain()

    site.pages["/"] = flood
    with pytest.raises(DataError, match="larger than max_bytes=50000"):
        await get(site, max_bytes=50_000)


async def test_a_length_that_is_told_too_large_is_not_waited_for(site):
    async def boast(writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(60)

    site.pages["/"] = boast
    with pytest.raises(DataError, match="larger than"):
        await get(site)


@pytest.mark.parametrize("parts", [1, 20])
async def test_a_gzip_bomb_does_not_go_off(site, say, parts):
    """A thousandfold, in one part or in many."""
    bomb = gzip.compress(b"\0" * (50_000_000 // parts)) * parts
    assert len(bomb) < 60_000
    site.pages["/"] = say(bomb, content_encoding="gzip")
    tracemalloc.start()
    with pytest.raises(DataError, match="larger than max_bytes=1048576"):
        await get(site)
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("body", "encoding", "error"),
    [
        (b"no gzip at all", "gzip", DataError),
        (gzip.compress(b"x" * 100_000)[:-20], "gzip", TransientError),
        (b"x", "br", DataError),
        (b"x", "gzip, gzip", DataError),
    ],
)
async def test_what_cannot_be_unpacked(site, say, body, encoding, error):
    site.pages["/"] = say(body, content_encoding=encoding)
    with pytest.raises(error):
        await get(site)


@pytest.mark.parametrize("part", ["nothing", "head", "body"])
async def test_a_server_that_dawdles_is_left(site, part):
    """The whole of it has one deadline, however often a byte comes."""

    async def drip(writer):
        if part == "nothing":
            await asyncio.Event().wait()
        writer.write(b"HTTP/1.1 200 OK\r\n" + (b"\r\n" if part == "body" else b"X: "))
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    site.pages["/"] = drip
    with pytest.raises(TimeoutError, match=r"timeout_seconds=0.3") as caught:
        await fetching(site)(url=site.url, timeout_seconds=0.3)
    assert category(caught.value) is Category.TIMEOUT


# --- what went wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("400 Bad Request", Category.DATA),
        ("401 Unauthorized", Category.DATA),
        ("404 Not Found", Category.DATA),
        ("304 Not Modified", Category.DATA),
        ("302 Found", Category.DATA),  # and does not say where
        ("408 Request Timeout", Category.TRANSIENT),
        ("429 Too Many Requests", Category.RATE_LIMITED),
        ("500 Internal Server Error", Category.TRANSIENT),
        ("503 Service Unavailable", Category.TRANSIENT),
    ],
)
async def test_a_status_has_a_category(site, say, status, kind):
    site.pages["/page"] = say(SECRET.encode(), status)
    with pytest.raises((DataError, RetryLater), match=f"{site.url} answered {status[:3]}") as caught:
        await get(site, f"/page?token={SECRET}", {"Authorization": SECRET})
    assert category(caught.value) is kind
    assert SECRET not in str(caught.value)


async def test_they_say_when_to_come_back(site, say):
    for text, low, high in (
        ("7", 7, 7),
        ("999999999", 86_400, 86_400),
        (formatdate(time.time() + 3_600, usegmt=True), 3_000, 3_600),
        (formatdate(time.time() - 3_600, usegmt=True), 0, 0),
    ):
        site.pages["/"] = say(b"", "429 Too Many Requests", retry_after=text)
        with pytest.raises(RateLimited) as caught:
            await get(site)
        assert low <= caught.value.delay <= high, text
    for text in ("soon", "-1", "", "Wed, 99 Foo 2026 00:00:00 GMT"):
        site.pages["/"] = say(b"", "503 Service Unavailable", retry_after=text)
        with pytest.raises(RetryLater) as caught:
            await get(site)
        assert caught.value.delay is None, text


@pytest.mark.parametrize(
    "page",
    [
        b"",
        b"220 smtp.example ESMTP\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000,
    ],
)
async def test_an_answer_that_is_none_may_be_better_next_time(site, page):
    site.pages["/"] = page
    with pytest.raises(TransientError):
        await get(site)


async def test_connection_trouble_may_be_better_next_time():
    reach = Reach(frozenset({1}), Reach.of(Settings(fetch_allow="127.0.0.1")).networks)
    with pytest.raises(TransientError, match="cannot be connected to"):
        await http_get.get("http://127.0.0.1:1/", {}, reach=reach, max_bytes=100)

    async def nobody(host, port):
        return []

    with pytest.raises(TransientError, match="no address"):
        await http_get.get("http://nobody.example/", {}, reach=Reach(), max_bytes=100, resolve=nobody)
    with pytest.raises(TransientError, match="cannot be resolved"):
        await http_get.lookup("does-not-exist.invalid", 80)


async def test_secrets_are_not_logged(site, say, caplog):
    """Not even when everything is."""
    caplog.set_level(logging.DEBUG)
    site.pages["/"] = say(b"", "302 Found", location=f"/next?sign={SECRET}", set_cookie=f"sid={SECRET}")
    site.pages["/next"] = say(b"ok", set_cookie=f"sid={SECRET}")
    found = await fetching(site)(url=f"{site.url}/?token={SECRET}", headers={"Authorization": SECRET})
    assert found["text"] == "ok"
    assert SECRET not in caplog.text
    assert SECRET not in str(found)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("{}", "missing required field `url`"),
        ('{"url": 5}', r"\$.url"),
        ('{"url": "http://a", "format": "xml"}', r"\$.format"),
        ('{"url": "http://a", "timeout_seconds": 0}', r"\$.timeout_seconds"),
        ('{"url": "http://a", "timeout_seconds": 301}', r"\$.timeout_seconds"),
        ('{"url": "http://a", "max_bytes": 1048577}', r"\$.max_bytes"),
        ('{"url": "http://a", "headers": {"a": 1}}', r"\$.headers"),
        ('{"url": "http://a", "method": "POST"}', "unknown field `method`"),
    ],
)
def test_data_that_do_not_fit_are_named(data, reason):
    with pytest.raises(DataError, match=reason):
        task().parameters.unpack(data)


def test_the_schema_describes_every_field():
    schema = task().parameters.schema()
    assert schema["required"] == ["url"]
    assert all(field["description"] for field in schema["properties"].values())
    assert schema["properties"]["url"]["examples"] == ["https://example.com/data.csv"]


def task():
    app = BoltQ()
    add_to(app)
    return app.tasks["fetch_data"]
