"""`boltq keys`: makes, lists and revokes API keys."""

import argparse
import getpass
from typing import TYPE_CHECKING

from boltq.cli.options import add_json, seconds

if TYPE_CHECKING:
    from boltq.cli.session import Session
    from boltq.domain.api_keys import ApiKey

_EXAMPLES = """\
examples:
  boltq keys create --name web --scope submit:emails --scope read --expires 90d
  boltq keys
  boltq keys revoke 7h2kq0x9bd

scopes:
  submit         submit jobs; submit:emails only to that queue, submit:mail-* to all that begin so
  read           see jobs, queues, workers and numbers, without what is in the jobs
  payload        see data, results, errors and log lines as well; read is part of it
  operate        cancel, replay, edit, delete, pause, drain
  worker         run jobs
  metrics        read the metrics
  admin          everything, API keys included

A key is shown once, when it is made. A program sends it as `Authorization: Bearer KEY`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    parser.epilog = _EXAMPLES
    add_json(parser)
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    create = actions.add_parser("create", help="make a key; it is shown once", description="Make a key.")
    create.add_argument("--name", required=True, help="who will use it")
    create.add_argument(
        "--scope", action="append", required=True, dest="scopes", metavar="SCOPE", help="a right; once for each of them"
    )
    create.add_argument("--expires", type=seconds, metavar="TIME", help="how long it counts: 12h, 90d (until revoked)")
    revoke = actions.add_parser(
        "revoke", help="end a key; it counts no more within 5 s", description="End keys; they count no more within 5 s."
    )
    revoke.add_argument("ids", nargs="+", metavar="ID", help="a key's id, as `boltq keys` shows it")
    for action in (actions.add_parser("list", help="list the keys", description="List the keys."), create, revoke):
        add_json(action, default=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Do that."""
    from boltq.cli.session import with_store

    match args.action:
        case "create":
            return with_store(lambda session: _create(session, args), start=True)
        case "revoke":
            return with_store(lambda session: _revoke(session, args))
        case _:
            return with_store(lambda session: _list(session, args))


async def _create(session: "Session", args: argparse.Namespace) -> int:
    from boltq.broker.api_keys import ApiKeys
    from boltq.broker.journal import Journal
    from boltq.cli import show

    keys, me = ApiKeys(session.broker), _me()
    key, secret = await keys.create(args.name, args.scopes, expires_in=args.expires, created_by=me)
    await Journal(session.broker).note(me, "key.create", f"{key.id} {key.name}: {' '.join(key.scopes)}")
    if args.json:
        show.document({**_view(key), "key": secret.text})
        return 0
    print(secret.text)  # alone, so that a script can take it
    until = f", until {show.moment(key.expires_at)}" if key.expires_at else ""
    show.note(f"key {key.id} of {key.name} may {', '.join(key.scopes)}{until}; it is not shown again")
    return 0


async def _list(session: "Session", args: argparse.Namespace) -> int:
    from boltq.broker.api_keys import ApiKeys
    from boltq.cli import show

    keys = await ApiKeys(session.broker).all()
    if args.json:
        show.document({"items": [_view(key) for key in keys]})
        return 0
    now = await session.inspector.now_ms()
    rows = [
        (
            key.id, key.name, _standing(key, now), show.moment(key.expires_at), f"{show.age(key.created_at, now)} ago",
            f"{show.age(key.last_used_at, now)} ago" if key.last_used_at else "never", " ".join(key.scopes),
        )
        for key in keys
    ]  # fmt: skip
    show.table(("id", "name", "state", "expires", "made", "used", "scopes"), rows)
    if not keys:
        show.note("there are no keys: make one with `boltq keys create`")
    return 0


async def _revoke(session: "Session", args: argparse.Namespace) -> int:
    from boltq.broker.api_keys import ApiKeys
    from boltq.broker.journal import Journal
    from boltq.cli import show
    from boltq.domain.errors import NotFound

    revoked, missing = [], []
    for key_id in args.ids:
        try:
            key = await ApiKeys(session.broker).revoke(key_id)
        except NotFound:
            missing.append(key_id)
            continue
        await Journal(session.broker).note(_me(), "key.revoke", f"{key.id} {key.name}")
        revoked.append(key)
    if args.json:
        show.document({"items": [_view(key) for key in revoked], "missing": missing})
    else:
        for key in revoked:
            print(f"{key.id}\t{key.name}\trevoked")
        for key_id in missing:
            show.note(f"no API key {key_id}")
    return 1 if missing else 0


def _standing(key: "ApiKey", now: float) -> str:
    if key.revoked_at:
        return "revoked"
    return "has run out" if key.ended(now) else "good"


def _view(key: "ApiKey") -> "dict[str, object]":
    from msgspec.structs import asdict

    from boltq.server.keys_api import view_of

    return asdict(view_of(key))


def _me() -> str:
    """Who sits at this terminal, as far as the system knows."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):  # a container's user without a name
        return "cli"
