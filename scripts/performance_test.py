"""The performance test: `boltq load` under the name that the documents give it.

    python scripts/performance_test.py --jobs=1000 --concurrency=10

An API and a worker must run (`make run-api`, `make run-worker`). Any Python will do: this project's .venv is found.
"""

import os
import sys
from pathlib import Path

try:
    from boltq.cli import main
except ModuleNotFoundError:
    python = Path(__file__).resolve().parents[1] / ".venv" / "bin" / "python"
    if not python.exists() or Path(sys.prefix).resolve() == python.parents[1].resolve():
        sys.exit("BoltQ is not installed here: run `make deps` first")
    os.execv(python, [str(python), __file__, *sys.argv[1:]])  # noqa: S606 - this project's own Python

if __name__ == "__main__":
    sys.exit(main(["load", *sys.argv[1:]]))
