"""What a command line did, when a test carried it out."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def rows(self) -> list[list[str]]:
        """The lines of a table that went into a pipe, without its heading."""
        return [line.split("\t") for line in self.out.splitlines()[1:]]


Run = Callable[..., Ran]
