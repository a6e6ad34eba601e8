import pytest

from boltq.domain.api_keys import new_secret
from boltq.domain.redaction import redacted, redacted_value

PLANTED = "s3cr3t-Pl4nted"


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {PLANTED}",
        f"authorization: bearer   {PLANTED}, next",
        f"{{'authorization': 'Bearer {PLANTED}'}}",
        f'{{"Authorization":"Basic {PLANTED}"}}',
        f"[(b'authorization', b'Bearer {PLANTED}')]",
        f"Proxy-Authorization: Digest a b {PLANTED}",
        f"Cookie: a=b; session={PLANTED}",
        f"set-cookie={PLANTED}; Path=/",
        f"redis://:{PLANTED}@host:6379/0",
        f"cannot connect to rediss://user:{PLANTED}@host:6379/0: no",
        f"smtp://mailer:{PLANTED}@mail.example:587",
        f"redis://u:x@{PLANTED}@host",
        f"password={PLANTED}",
        f"PASSWORD: {PLANTED}",
        f"redis_password='{PLANTED} with blanks'",
        f'{{"client_secret": "{PLANTED} \\" {PLANTED}"}}',
        f"https://x.example/?access_token={PLANTED}&a=b",
        f"api_key={PLANTED}",
        f"X-Api-Key: {PLANTED}",
        f"Connection(host='h', password='{PLANTED}', db=0)",
    ],
)
def test_what_is_secret_is_hidden(text):
    assert PLANTED not in redacted(text)
    assert "***" in redacted(text)


def test_a_key_is_hidden_and_still_named():
    secret = new_secret()
    assert redacted(f"key {secret.text} is used") == f"key bq_{secret.id}_*** is used"


@pytest.mark.parametrize(
    "text",
    [
        "job 01M800PCTMJT81THNEAH5YZT00 of type send_token is done",
        "queue=emails took=5 max_tokens=100 idempotency_key=abc",
        "the store at redis://host:6379/0 does not answer: Connection refused",
        "http://127.0.0.1:8080/api/v1/jobs?id=a@b.example",
        "mail to ada@example.com",
        "a login from 10.0.0.1 failed: there is no API key 0123456789",
    ],
)
def test_what_is_not_secret_stays(text):
    assert redacted(text) == text


def test_values_are_hidden_by_name_and_by_look():
    assert redacted_value("smtp_password", PLANTED) == "***"
    assert redacted_value("count", 5) == 5
    assert redacted_value("headers", {"Cookie": PLANTED, "Host": "h", "n": [1, f"Bearer {PLANTED}"]}) == {
        "Cookie": "***", "Host": "h", "n": [1, "Bearer ***"],
    }  # fmt: skip
    assert PLANTED not in str(redacted_value("url", f"redis://:{PLANTED}@h"))


def test_no_text_makes_it_slow():
    """A pattern that goes back and forth would run into the limit of a test's time."""
    for text in ("token" * 20_000, "a://" * 20_000, "password=" * 10_000, '"' * 100_000, "-" * 50_000, "x" * 100_000):
        assert len(redacted(text)) <= len(text)
