"""`boltq keys`: makes, lists and revokes API keys."""

import argparse
from typing import TYPE_CHECKING

from boltq.cli.options import add_json, add_place, seconds

if TYPE_CHECKING:
    from datetime import datetime

    from boltq.cli.api import Api
    from boltq.client.answers import KeyInfo

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
    parser.epilog = _EXAMPLES
    add_place(parser)
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
        add_place(action, default=argparse.SUPPRESS)
        add_json(action, default=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    from boltq.cli.api import with_api

    match args.action:
        case "create":
            return with_api(args, lambda api: _create(api, args), start=True)
        case "revoke":
            return with_api(args, lambda api: _revoke(api, args))
        case _:
            return with_api(args, lambda api: _list(api, args))


async def _create(api: "Api", args: argparse.Namespace) -> int:
    from boltq.cli import show
    from boltq.client import calls

    request = calls.create_key(args.name, args.scopes, expires_in=args.expires)
    if args.json:
        show.document(await api.document(request))
        return 0
    key = await api.ask(request)
    print(key.key)  # alone, so that a script can take it
    until = f", until {show.moment(show.millis(key.expires_at))}" if key.expires_at else ""
    show.note(f"key {key.id} of {key.name} may {', '.join(key.scopes)}{until}; it is not shown again")
    return 0


async def _list(api: "Api", args: argparse.Namespace) -> int:
    from boltq.cli import show
    from boltq.client import calls

    if args.json:
        show.document(await api.document(calls.list_keys()))
        return 0
    keys = (await api.ask(calls.list_keys())).items
    rows = [
        (
            key.id, key.name, _standing(key, api.now), show.moment(show.millis(key.expires_at)),
            f"{show.between(key.created_at, api.now)} ago",
            f"{show.between(key.last_used_at, api.now)} ago" if key.last_used_at else "never", " ".join(key.scopes),
        )
        for key in keys
    ]  # fmt: skip
    show.table(("id", "name", "state", "expires", "made", "used", "scopes"), rows)
    if not keys:
        show.note("there are no keys: make one with `boltq keys create`")
    return 0


async def _revoke(api: "Api", args: argparse.Namespace) -> int:
    import msgspec

    from boltq.cli import show
    from boltq.client import calls
    from boltq.client.answers import KeyInfo
    from boltq.domain.errors import NotFound

    revoked, missing = [], []
    for key_id in args.ids:
        try:
            revoked.append(await api.document(calls.revoke_key(key_id)))
        except NotFound:
            missing.append(key_id)
    if args.json:
        show.document({"items": revoked, "missing": missing})
    else:
        for key in (msgspec.json.decode(document, type=KeyInfo) for document in revoked):
            print(f"{key.id}\t{key.name}\trevoked")
        for key_id in missing:
            show.note(f"no API key {key_id}")
    return 1 if missing else 0


def _standing(key: "KeyInfo", now: "datetime") -> str:
    if key.revoked_at:
        return "revoked"
    return "has run out" if key.expires_at and key.expires_at <= now else "good"
