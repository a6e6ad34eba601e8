"""No log line of any process has a secret in it, whoever logs it and however."""

import io
import json
import logging
import sys
from collections.abc import Callable, Iterator

import pytest

from boltq.cli import failures, log_lines
from boltq.settings import Settings

PLANTED = "s3cr3t-Pl4nted"

Said = Callable[[], str]


@pytest.fixture(params=["development", "production"])
def said(request: pytest.FixtureRequest) -> Iterator[Said]:
    """What this process has logged, set up as every process is."""
    root, hook, before = logging.getLogger(), sys.excepthook, logging.getLogger().level
    kept, text = list(root.handlers), io.StringIO()
    log_lines.set_up(Settings(environment=request.param, log_level="debug"), logging.StreamHandler(text))
    yield text.getvalue
    root.handlers[:] = kept
    root.setLevel(before)
    sys.excepthook = hook


def test_messages_and_their_arguments(said: Said) -> None:
    log = logging.getLogger("some.library")
    log.warning("connecting to %s", f"redis://u:{PLANTED}@host:6379")
    log.info("headers: Authorization: Bearer " + PLANTED)  # noqa: G003 - as careless code does it
    log.info("password=%s", PLANTED)
    log.error("two of %s", PLANTED, "b")  # noqa: PLE1205 - a mistake of the caller
    assert said().count("***") == 3
    assert "redis://***@host:6379" in said()
    assert "do not fit" in said()
    assert PLANTED not in said()


def test_further_fields(said: Said) -> None:
    extra = {
        "smtp_password": PLANTED,
        "headers": {"Cookie": PLANTED, "Host": "h"},
        "url": f"http://a:{PLANTED}@h",
        "n": 5,
    }
    logging.getLogger("boltq.x").info("hello", extra=extra)
    assert PLANTED not in said()
    assert "hello" in said()


def test_tracebacks(said: Said) -> None:
    try:
        int(f"rediss://:{PLANTED}@host")
    except ValueError:
        logging.getLogger("boltq.x").exception("it failed")
    assert PLANTED not in said()
    assert "rediss://***@host" in said()
    assert "Traceback" in said()


def test_a_line_without_secrets_stays_as_it_is(said: Said) -> None:
    logging.getLogger("boltq.x").info("job %s took %d ms", "01M800", 5, extra={"queue": "emails"})
    line = said().splitlines()[-1]
    if line.startswith("{"):
        assert json.loads(line)["message"] == "job 01M800 took 5 ms"
        assert json.loads(line)["queue"] == "emails"
    else:
        assert line.endswith("x: job 01M800 took 5 ms queue=emails")


def test_last_words(said: Said, capsys: pytest.CaptureFixture[str]) -> None:
    error = ValueError(f"token={PLANTED}")
    sys.excepthook(ValueError, error, None)
    failures.complain(f"the store refuses redis://:{PLANTED}@host")
    err = capsys.readouterr().err
    assert PLANTED not in err
    assert "ValueError: token=***" in err
    assert "redis://***@host" in err
