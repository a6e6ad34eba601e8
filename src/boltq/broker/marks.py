"""Where the history of a partition stands, as many answers tell: see lua/lib/history.lua, and history.py."""

from typing import Final

import msgspec


class Mark(msgspec.Struct, array_like=True, frozen=True):
    """How far a partition's history goes."""

    seq: int  # the number of the last call that moved a job
    era: str  # which run of which server, since when, and the number after which it began
    alarmed: int  # when the last alarm was raised, in server ms

    @property
    def began_after(self) -> int:
        """The number after which its era began."""
        return int(self.era.rpartition(" ")[2] or 0)


NO_MARK: Final = Mark(0, "", 0)
