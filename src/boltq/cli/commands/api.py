"""`boltq api`: runs the API."""

import argparse
import logging

from boltq.cli import parent_watch as life

_EXAMPLES = """\
examples:
  boltq api
  API_PORT=9000 REDIS_ADDR=valkey:6379 boltq api
  boltq api --host 0.0.0.0 --port 80

Without REDIS_ADDR it uses the embedded store, which it starts if nobody else has."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EXAMPLES
    parser.add_argument("--host", help="the address on which it listens (BOLTQ_HOST, 127.0.0.1)")
    parser.add_argument("--port", type=int, help="the port; 0: any that is free (API_PORT, 8080)")
    life.add_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Serve until told to stop."""
    from boltq.broker.store import Store, place_of
    from boltq.cli import log_lines
    from boltq.server import serve
    from boltq.settings import Settings

    settings = Settings.from_env(api_host=args.host, api_port=args.port)
    log_lines.set_up(settings)
    with Store(settings) as store:
        logging.getLogger(__name__).info("%s", place_of(settings))
        life.follow(args.life)
        serve.run(settings, store.address)
    return 0
