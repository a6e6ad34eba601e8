"""How near BoltQ comes to a hand-written worker that has none of its duties, on the same server, in turn, many times.

`boltq bench` has one such pair; on a noisy machine only the median of several says something. What the ceiling does
and leaves out: see src/boltq/bench/ceiling.py.

    REDIS_ADDR=127.0.0.1:6379 .venv/bin/python benchmarks/ceiling.py --jobs 100000 --rounds 3
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from boltq.broker.embedded import EmbeddedStore, StoreOptions


def boltq(address: str, n: int) -> dict[str, float]:
    """The figures of `boltq bench` about draining."""
    command = [sys.executable, "-m", "boltq", "bench", "--only", "drain", "--json", "--jobs", str(n)]
    done = subprocess.run(
        command, env={**os.environ, "REDIS_ADDR": address}, check=True, capture_output=True, text=True
    )
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def compare(address: str, args: argparse.Namespace) -> None:
    """Both in turn, and the medians."""
    rounds = []
    for _ in range(args.rounds):
        ours = boltq(address, args.jobs)
        rounds.append((ours["ceiling_per_s"], ours["drain_1_per_s"], ours["drain_2_per_s"]))
        print(
            "ceiling {:>9,.0f}/s   boltq, 1 worker {:>9,.0f}/s   2 workers {:>9,.0f}/s".format(*rounds[-1]), flush=True
        )
    ratio = statistics.median(one / top for top, one, _ in rounds)
    print(f"\nboltq with one worker reaches {ratio:.2f} of the ceiling (median of {args.rounds} rounds, pair by pair)")


def main() -> None:
    """On REDIS_ADDR, or on an embedded store of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    if address := os.environ.get("REDIS_ADDR"):
        compare(address, args)
        return
    with tempfile.TemporaryDirectory() as folder, EmbeddedStore(Path(folder), StoreOptions()) as store:
        compare(store.start(), args)


if __name__ == "__main__":
    main()
