"""`email`: through a real SMTP server on loopback, or into the outbox; and nothing that was not meant gets through."""

import asyncio
import email
import email.policy
import json
import logging
import re
import stat
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from aiosmtpd.smtp import SMTP, AuthResult
from hypothesis import given, strategies as st

from boltq import BoltQ, Category, DataError, RetryPolicy, Settings, TransientError
from boltq.settings import BadSetting
from boltq.tasks import add_to, mail as mail_module
from boltq.tasks.mail import Mail, parse_address
from boltq.tasks.smtp import LoginRefused

SECRET = "planted-secret-4711"
JOB = "01JDABC7K2M3N4P5Q6R7S8T900"


def task(settings: Settings):
    app = BoltQ(settings=settings)
    add_to(app)
    return app.tasks["email"]


def read(message: bytes) -> email.message.EmailMessage:
    return email.message_from_bytes(message, policy=email.policy.default)


# --- an SMTP server -------------------------------------------------------------------------------------------------


class Post:
    """What a server was given; `says` has its answers to addresses and to the mail."""

    def __init__(self) -> None:
        self.mails: list = []
        self.logins: list[tuple[str, str]] = []
        self.says: dict[str, str] = {}
        self.settings = Settings()

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802 - aiosmtpd's name
        answer = self.says.get(address, "250 OK")
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_MAIL(self, server, session, envelope, address, options):  # noqa: N802 - aiosmtpd's name
        envelope.mail_from = address
        return self.says.get("MAIL", "250 OK")

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 - aiosmtpd's name
        self.mails.append(envelope)
        return self.says.get("DATA", "250 OK")

    def login(self, server, session, envelope, mechanism, data):
        self.logins.append((data.login.decode(), data.password.decode()))
        return AuthResult(success=data.password.decode() == SECRET, handled=False)


@asynccontextmanager
async def running_post(**options):
    post = Post()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(post, authenticator=post.login, loop=loop, **options), "127.0.0.1", 0
    )
    port = server.sockets[0].getsockname()[1]
    post.settings = Settings(smtp_url=f"smtp://127.0.0.1:{port}", email_from="BoltQ <boltq@example.com>")
    yield post
    server.close()


@pytest.fixture
async def post():
    async with running_post() as running:
        yield running


async def test_a_mail_arrives(post, ctx):
    found = await task(post.settings)(
        ctx,
        to=["Ann Ö. <ann@example.com>", "bob@example.com"],
        cc="carl@example.com",
        bcc=["dora@example.com", "ANN@example.com", "bob@example.com"],
        subject="Grüße, €",
        body="Hello\n.\n.leading dot\nÄ" + "x" * 2_000,
        html="<p>Ä</p>",
        reply_to="Support <support@example.com>",
    )
    assert found == {"sent": True, "message_id": f"<{JOB}@example.com>", "recipients": 5, "refused": {}}
    [envelope] = post.mails
    assert envelope.mail_from == "boltq@example.com"
    assert envelope.rcpt_tos == [
        "ann@example.com", "bob@example.com", "carl@example.com", "dora@example.com", "ANN@example.com",
    ]  # fmt: skip
    message = read(envelope.content)
    assert str(message["Subject"]) == "Grüße, €"
    assert str(message["From"]) == "BoltQ <boltq@example.com>"
    assert [str(one) for one in message["To"].addresses] == ['"Ann Ö." <ann@example.com>', "bob@example.com"]
    assert str(message["Reply-To"]) == "Support <support@example.com>"
    assert message["Message-ID"] == found["message_id"]
    assert message["Date"].datetime.tzinfo
    assert message["Bcc"] is None
    assert b"dora" not in envelope.content
    body = message.get_body(("plain",)).get_content()
    assert body.splitlines() == ["Hello", ".", ".leading dot", "Ä" + "x" * 2_000]
    assert message.get_body(("html",)).get_content().strip() == "<p>Ä</p>"


async def test_a_second_run_is_recognised_by_the_same_message_id(post, ctx):
    for _ in range(2):
        await task(post.settings)(ctx, to="ann@example.com", subject="s", body="b")
    one, other = (read(envelope.content)["Message-ID"] for envelope in post.mails)
    assert one == other


async def test_a_recipient_that_is_refused_is_named_and_the_others_get_it(post, ctx):
    post.says["gone@example.com"] = "550 no such user"
    found = await task(post.settings)(ctx, to=["ann@example.com", "gone@example.com"], subject="s", body="b")
    assert found["recipients"] == 1
    assert found["refused"] == {"gone@example.com": "550 no such user"}
    assert post.mails[0].rcpt_tos == ["ann@example.com"]
    assert any("gone@example.com was refused" in line for line in ctx.lines)


@pytest.mark.parametrize(
    ("says", "kind"),
    [
        ({"ann@example.com": "550 no such user"}, DataError),
        ({"ann@example.com": "450 greylisted"}, TransientError),
        ({"ann@example.com": "550 no", "bob@example.com": "451 later"}, TransientError),
        ({"ann@example.com": "550 no", "bob@example.com": "551 no"}, DataError),
        ({"MAIL": "553 not you"}, DataError),
        ({"MAIL": "421 busy"}, TransientError),
        ({"DATA": "554 spam"}, DataError),
        ({"DATA": "452 full"}, TransientError),
    ],
)
async def test_what_the_server_says_decides_whether_a_retry_helps(post, ctx, says, kind):
    post.says.update(says)
    to = [address for address in says if "@" in address] or "ann@example.com"
    with pytest.raises(kind, match=re.escape(next(iter(says.values())))):
        await task(post.settings)(ctx, to=to, subject="s", body="b")


async def test_a_server_that_is_not_there_may_be_there_next_time(ctx):
    settings = Settings(smtp_url="smtp://127.0.0.1:1", email_from="boltq@example.com")
    with pytest.raises(TransientError, match="mail server"):
        await task(settings)(ctx, to="ann@example.com", subject="s", body="b")


async def test_a_server_that_hangs_up_may_not_do_so_next_time(ctx):
    async def hang_up(reader, writer):
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    settings = Settings(smtp_url=f"smtp://127.0.0.1:{port}", email_from="boltq@example.com")
    with pytest.raises(TransientError, match="mail server"):
        await task(settings)(ctx, to="ann@example.com", subject="s", body="b")
    server.close()


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
async def test_it_logs_in_and_the_password_stays_with_the_server(ctx, caplog):
    caplog.set_level(logging.DEBUG)
    async with running_post(auth_require_tls=False, auth_required=True) as post:
        url = post.settings.smtp_url.replace("smtp://", f"smtp://us%40er:{SECRET}@")
        settings = replace(post.settings, smtp_url=url)
        found = await task(settings)(ctx, to="ann@example.com", subject="s", body="b")
        assert post.logins[-1] == ("us@er", SECRET)

        wrong = replace(settings, smtp_url=url.replace(SECRET, SECRET + "x"))
        with pytest.raises(LoginRefused, match="535") as caught:
            await task(wrong)(ctx, to="ann@example.com", subject="s", body="b")
    assert RetryPolicy().category_of(caught.value) is Category.SYSTEM
    logged = "\n".join(r.getMessage() for r in caplog.records if not r.name.startswith("mail."))  # the server's own log
    assert SECRET not in "".join([logged, str(found), str(caught.value), *ctx.lines, repr(settings)])


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
async def test_a_password_is_not_sent_in_the_clear_to_another_host(ctx, monkeypatch):
    """The server does not offer TLS; it only counts as another host, because there is none here."""
    from boltq.tasks import smtp

    async with running_post(auth_require_tls=False) as post:
        port = post.settings.smtp_url.rpartition(":")[2]
        url = f"smtp://user:{SECRET}@127.0.0.2:{port}"
        server = smtp._server(url)
        server.hostname = "127.0.0.1"
        monkeypatch.setattr(smtp, "_server", lambda url: server)
        with pytest.raises(TransientError, match="mail server"):
            await task(replace(post.settings, smtp_url=url))(ctx, to="ann@example.com", subject="s", body="b")
        assert (post.logins, post.mails) == ([], [])


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"BOLTQ_SMTP_URL": f"http://user:{SECRET}@host"}, "BOLTQ_SMTP_URL: must be smtp://"),
        ({"BOLTQ_SMTP_URL": f"smtp://user:{SECRET}@"}, "BOLTQ_SMTP_URL: must be smtp://"),
        ({"BOLTQ_SMTP_URL": f"smtp://user:{SECRET}@a b"}, "BOLTQ_SMTP_URL: must be smtp://"),
        ({"BOLTQ_SMTP_URL": f"smtp://user:{SECRET}@host:587"}, "BOLTQ_EMAIL_FROM must be set"),
    ],
)
def test_a_server_that_cannot_be_meant_is_refused_at_the_start_without_its_password(variables, named):
    with pytest.raises(BadSetting, match=named) as caught:
        Settings.from_env(variables)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("url", ["smtp://localhost", "smtps://u:p%40@mail.example.com", "smtp://u:p@[::1]:2525/"])
def test_a_server_that_can_be_meant(url):
    assert Settings.from_env({"BOLTQ_SMTP_URL": url, "BOLTQ_EMAIL_FROM": "a@b.example"}).smtp_url == url


# --- the outbox -----------------------------------------------------------------------------------------------------


async def test_without_a_server_it_is_written_to_the_outbox(tmp_path, ctx):
    """As the first documents ask for it; a second run of the job writes the same file."""
    first = {"recipient": "user@example.com", "subject": "Hello from BoltQ", "body": "This is a test email from BoltQ"}
    email_task = task(Settings(data_dir=str(tmp_path / "data")))
    for _ in range(2):
        args, kwargs = email_task.parameters.unpack(json.dumps(first))
        found = await email_task(ctx, *args, **kwargs)
    folder = tmp_path / "data" / "outbox"
    assert found == {"sent": False, "outbox": f"{JOB}.eml", "message_id": f"<{JOB}@localhost>", "recipients": 1}
    assert [path.name for path in folder.iterdir()] == [f"{JOB}.eml"]
    assert stat.S_IMODE((folder / f"{JOB}.eml").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
    message = read((folder / f"{JOB}.eml").read_bytes())
    assert (str(message["To"]), str(message["Subject"])) == ("user@example.com", "Hello from BoltQ")
    assert message.get_content().strip() == "This is a test email from BoltQ"
    assert "not sent" in ctx.lines[0]


async def test_the_outbox_keeps_the_newest(tmp_path, ctx, monkeypatch):
    monkeypatch.setattr(mail_module, "OUTBOX_KEEPS", 3)
    email_task = task(Settings(outbox=str(tmp_path / "out")))
    for number in range(5):
        ctx.job_id = f"01JDABC7K2M3N4P5Q6R7S8T90{number}"
        await email_task(ctx, to="ann@example.com", subject="s", body="b")
    assert sorted(path.stem[-1] for path in (tmp_path / "out").iterdir()) == ["2", "3", "4"]


# --- who may send, and to whom --------------------------------------------------------------------------------------


def made(**fields):
    """The mail of a job with these fields."""
    settings = Settings(email_from="boltq@example.com", email_allowed_from="news.example.com, boss@corp.example")
    data = {"to": "ann@example.com", "subject": "s", "body": "b", **fields}
    subject, body, html = data.pop("subject"), data.pop("body"), data.pop("html", None)
    return Mail.of(settings, JOB, fields=data, subject=subject, body=body, html=html)


@pytest.mark.parametrize(
    "sender",
    ["boltq@example.com", "Someone Else <BOLTQ@example.com>", "any@news.example.com", "Boss <boss@corp.example>"],
)
def test_a_sender_that_the_settings_allow(sender):
    assert made(**{"from": sender}).sender.lower() in sender.lower()


@pytest.mark.parametrize(
    "sender",
    ["other@example.com", "x@corp.example", "x@sub.news.example.com", "x@news.example.com.evil.example",
     "boltq@example.com@evil.example", "boss@corp.example <x@evil.example>", "", "x"],
)  # fmt: skip
def test_a_sender_that_they_do_not_allow(sender):
    with pytest.raises(DataError, match=r"^from: "):
        made(**{"from": sender})


def test_recipients_are_counted_together_and_once():
    fifty = [f"u{n}@example.com" for n in range(50)]
    assert len(made(to=fifty[:20], cc=fifty[20:], bcc=fifty[:50]).recipients) == 50
    with pytest.raises(DataError, match="51 recipients; at most 50"):
        made(to=fifty, bcc="one@more.example")
    with pytest.raises(DataError, match="no recipient"):
        made(to=[])
    with pytest.raises(DataError, match="no recipient"):
        made(to=None)


# --- what must not get through --------------------------------------------------------------------------------------

BREAKS = ["\r\n", "\n", "\r", "\x00", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\x1b", "\x7f"]


@pytest.mark.parametrize("break_", BREAKS)
@pytest.mark.parametrize("field", ["subject", "to", "recipient", "cc", "bcc", "reply_to", "from"])
def test_a_line_break_in_a_header_is_refused(field, break_):
    """It would begin a header, or a command, of the job's own."""
    for text in (f"a{break_}Bcc: evil@evil.example", f"ann@example.com{break_}", f"{break_}ann@example.com"):
        with pytest.raises(DataError, match=f"^{field}: must be one line"):
            made(**{field: text})


ADDRESSES_REFUSED = [
    "", " ", "ann", "@example.com", "ann@", "ann@@example.com", "a@b@example.com", "ann@example..com",
    "ann@.example.com", "ann@-example.com", "ann@example-.com", "ann@exa_mple.com", "ann@[127.0.0.1]",
    "ann@example.com, bob@example.com", "ann@example.com; bob@example.com", "ann@example.com bob@example.com",
    "ann@example.com>", "<ann@example.com", "<ann@example.com>>", "a <b <ann@example.com>>",
    "Ann <ann@example.com> <bob@example.com>", "<ann@example.com> Ann", "group: ann@example.com;",
    '"ann"@example.com', '"a b"@example.com', '"a@evil.example "@example.com', "ann(comment)@example.com",
    "ann@example.com (comment)", ".ann@example.com", "ann.@example.com", "a..b@example.com",
    "ann@example.com> SIZE=9999999", "ann@example.com>\tRCPT TO:<evil@evil.example>", "ünn@example.com",
    "a" * 65 + "@example.com", "ann@" + "a" * 64 + ".com", "ann@" + "a." * 130 + "com", "@a,@b:ann@example.com",
    "ann%40evil.example@", "xn--\udc00@example.com",
]  # fmt: skip


@pytest.mark.parametrize("text", ADDRESSES_REFUSED)
def test_an_address_that_is_none_is_refused(text):
    with pytest.raises(DataError, match=r"^to: .*(is not an address|must be one line)"):
        parse_address("to", text)


@pytest.mark.parametrize(
    ("text", "spec", "name"),
    [
        ("ann@example.com", "ann@example.com", ""),
        (" ann@example.com ", "ann@example.com", ""),
        ("root@localhost", "root@localhost", ""),
        ("a.b+tag@sub.example.co.uk", "a.b+tag@sub.example.co.uk", ""),
        ("o'neil!#$%&*/=?^_`{|}~-@example.com", "o'neil!#$%&*/=?^_`{|}~-@example.com", ""),
        ("<ann@example.com>", "ann@example.com", ""),
        ("Ann <ann@example.com>", "ann@example.com", "Ann"),
        ('"Smith, Ann" <ann@example.com>', "ann@example.com", "Smith, Ann"),
        ("Smith, Ann <ann@example.com>", "ann@example.com", "Smith, Ann"),
        ("evil@evil.example <ann@example.com>", "ann@example.com", "evil@evil.example"),
        ("ann@bücher.example", "ann@xn--bcher-kva.example", ""),
    ],
)
def test_an_address_that_is_one(text, spec, name):
    found = parse_address("to", text)
    assert (found.addr_spec, found.display_name) == (spec, name)


_local = st.from_regex(r"[a-z0-9!#$%&'*+/=?^_`{|}~-]{1,20}(\.[a-z0-9]{1,10})?", fullmatch=True)
_addresses = st.builds("{}@{}.example".format, _local, st.from_regex(r"[a-z0-9]{1,20}", fullmatch=True))
_names = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"], exclude_characters="<>"), max_size=80)
_people = st.lists(st.tuples(_names, _addresses), min_size=1, max_size=50, unique_by=lambda pair: pair[1])


@given(
    people=_people,
    subject=st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=300),
    body=st.text(st.characters(exclude_categories=["Cs"]), max_size=300),
)
def test_a_mail_has_the_headers_that_were_meant_and_no_others(people, subject, body):
    """Whatever stands in names, subject and body: read back, it has these recipients and these headers."""
    mail = made(to=[f"{name} <{address}>" for name, address in people], subject=subject, body=body)
    assert mail.recipients == [address for _, address in people]
    raw = mail.text
    assert raw.isascii()
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)|\x00", raw.partition(b"\r\n\r\n")[0])
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    message = read(raw)
    meant = ["from", "to", *(["subject"] if subject.strip() else []), "date", "message-id"]
    assert [name.lower() for name in message] == [*meant, "content-type", "content-transfer-encoding", "mime-version"]
    assert [one.addr_spec for one in message["To"].addresses] == mail.recipients
    names = ["".join(one.display_name.split()) for one in message["To"].addresses]  # its parser adds spaces
    assert names == ["".join(unquoted(name).split()) for name, _ in people]
    assert str(message["Subject"] or "").split() == subject.split()
    assert message["Message-ID"] == f"<{JOB}@example.com>"


def test_what_looks_encoded_is_not_decoded_on_the_way():
    """Else a name could turn into addresses in the program that shows it."""
    tricky = "=?utf-8?q?a=40b=2Eexample=3E=2C?="
    message = read(made(to=f"{tricky} <ann@example.com>", subject=tricky).text)
    assert str(message["Subject"]) == tricky
    assert [(one.display_name, one.addr_spec) for one in message["To"].addresses] == [(tricky, "ann@example.com")]


def unquoted(name: str) -> str:
    """As a person means it who quotes a name."""
    name = name.strip()
    quoted = len(name) > 1 and name[0] == name[-1] == '"'
    return re.sub(r"\\(.)", r"\1", name[1:-1]) if quoted else name


def test_the_schema_describes_every_field():
    schema = task(Settings()).parameters.schema()
    assert schema["required"] == ["subject", "body"]
    assert "from" in schema["properties"]
    assert all(field["description"] for field in schema["properties"].values())
