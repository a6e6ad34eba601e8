import pytest

from boltq.domain.api_keys import ApiKey, key_id_of, new_secret
from boltq.domain.scopes import Scope, ScopeGrants, bad_scope


@pytest.mark.parametrize("scope", Scope)
def test_a_scope_gives_itself_and_admin_gives_all(scope):
    grants = ScopeGrants([scope])
    allowed = {other for other in Scope if grants.allow(other)}
    more = {Scope.ADMIN: set(Scope), Scope.PAYLOAD: {Scope.READ}}
    assert allowed == {scope} | more.get(scope, set())


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("emails", ["emails"], ["email", "emails2", "xemails", "Emails"]),
        ("mail-*", ["mail-", "mail-eu", "mail-eu-1"], ["mail", "xmail-eu"]),
        ("*", ["anything", "a.b-c_d"], []),
        ("*-eu", ["mail-eu"], ["mail-us", "mail-eu2"]),
        ("a*b*c", ["abc", "aXbYc", "abcbc"], ["ab", "acb"]),
        ("a.b", ["a.b"], ["axb"]),
    ],
)
def test_submit_can_be_bound_to_queues(pattern, yes, no):
    grants = ScopeGrants([f"submit:{pattern}"])
    assert grants.allow(Scope.SUBMIT), "to some queue"
    assert all(grants.allow(Scope.SUBMIT, queue) for queue in yes)
    assert not any(grants.allow(Scope.SUBMIT, queue) for queue in no)
    assert not any(grants.allow(scope) for scope in Scope if scope is not Scope.SUBMIT)


def test_several_queues():
    grants = ScopeGrants(["submit:a", "submit:b*", "read"])
    assert [grants.allow(Scope.SUBMIT, queue) for queue in ("a", "b", "bc", "c")] == [True, True, True, False]
    assert grants.allow(Scope.READ)


def test_no_pattern_makes_a_name_slow():
    """A matcher that goes back would need years, and run into the limit of a test's time."""
    grants = ScopeGrants([f"submit:{'*a' * 49}b"])
    assert not grants.allow(Scope.SUBMIT, "a" * 100)


@pytest.mark.parametrize("text", [*Scope, "submit:a", "submit:*", "submit:a-*.b_c"])
def test_good_scopes(text):
    assert bad_scope(text) is None


@pytest.mark.parametrize(
    "text", ["", "all", "Submit", "submit:", "submit: a", "submit:a:b", "read:a", "submit:[a]", "*"]
)
def test_bad_scopes_say_why(text):
    assert bad_scope(text)


def test_a_secret_names_its_key_and_no_two_are_alike():
    secrets = [new_secret() for _ in range(100)]
    assert len({secret.text for secret in secrets}) == len({secret.id for secret in secrets}) == 100
    for secret in secrets:
        assert key_id_of(secret.text.encode()) == secret.id
        assert len(secret.text) == len("bq_") + 10 + 1 + 43
        assert len(secret.digest) == 64
        assert secret.text not in secret.digest


@pytest.mark.parametrize(
    "text", [b"", b"bq_", b"bq_abc_def", b"bq_0123456789_" + b"a" * 42, b"bq_0123456789_" + b"a" * 44]
)
def test_what_is_no_key(text):
    assert key_id_of(text) is None


def test_a_key_ends():
    key = ApiKey("i", "n", "d", (), "x", 0, expires_at=10)
    assert [key.ended(now) for now in (0, 9.9, 10, 11)] == [False, False, True, True]
    assert ApiKey("i", "n", "d", (), "x", 0, revoked_at=1).ended(0)
    assert not ApiKey("i", "n", "d", (), "x", 0).ended(1e18)
