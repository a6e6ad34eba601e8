"""`python -m boltq` is `boltq`."""

import sys

from boltq.cli import main

if __name__ == "__main__":  # a child of a worker imports this module again, under another name
    sys.exit(main())
