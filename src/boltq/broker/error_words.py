"""What each word means with which a server begins an error: one table, for Valkey 9 and Redis 7 and 8.

redis-py turns some words into classes of its own and cuts them off; they are kept as `status_code`.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from redis import exceptions as redis_errors


class Kind(StrEnum):
    """What to do about an error of the server."""

    PASSING = "passing"  # it cannot do it now, and may soon: wait, and repeat what may be repeated
    FULL = "full"  # out of memory: nothing was written
    CONFIG = "config"  # somebody must change the server or our settings
    FAULT = "fault"  # a command that should not have been sent so, or data that should not be there: a bug


WORDS: Final[Mapping[str, Kind]] = {
    # It starts, loads, fails over, is busy, or cannot write to its disk.
    "LOADING": Kind.PASSING,
    "BUSY": Kind.PASSING,  # a script of somebody runs too long
    "UNKILLABLE": Kind.PASSING,  # … and has written already
    "NOTBUSY": Kind.PASSING,  # … and has just ended
    "READONLY": Kind.PASSING,  # a replica: it was the primary, or will be
    "UNBLOCKED": Kind.PASSING,  # while we waited it became a replica, or somebody said CLIENT UNBLOCK
    "MASTERDOWN": Kind.PASSING,
    "NOMASTERLINK": Kind.PASSING,
    "NOREPLICAS": Kind.PASSING,  # fewer replicas than min-replicas-to-write
    "REDIRECT": Kind.PASSING,  # a failover: the primary is elsewhere now
    "INPROG": Kind.PASSING,
    "NOGOODSLAVE": Kind.PASSING,  # these three are a sentinel's
    "NOGOODPRIMARY": Kind.PASSING,
    "NOQUORUM": Kind.PASSING,
    "MISCONF": Kind.PASSING,  # when it can write to its disk again, it goes on
    "IOERR": Kind.PASSING,
    # A cluster that is not whole, or a slot on its way from one node to another.
    "CLUSTERDOWN": Kind.PASSING,
    "TRYAGAIN": Kind.PASSING,
    "ASK": Kind.PASSING,
    # Memory.
    "OOM": Kind.FULL,
    # Where we are, who we are, and what we may.
    "MOVED": Kind.CONFIG,  # a node of a cluster that does not have our keys
    "NOAUTH": Kind.CONFIG,
    "WRONGPASS": Kind.CONFIG,
    "NOPERM": Kind.CONFIG,
    "DENIED": Kind.CONFIG,  # protected mode
    "NOPROTO": Kind.CONFIG,
    # What our commands and our data must not lead to.
    "ERR": Kind.FAULT,
    "WRONGTYPE": Kind.FAULT,
    "CROSSSLOT": Kind.FAULT,
    "EXECABORT": Kind.FAULT,
    "NOSCRIPT": Kind.FAULT,
    "BUSYKEY": Kind.FAULT,
    "BUSYGROUP": Kind.FAULT,
    "NOGROUP": Kind.FAULT,
    "INVALIDOBJ": Kind.FAULT,
}
"""Error word -> what it is. A word that is not here is a fault."""

_TEXTS: Final = (
    ("max number of clients", Kind.PASSING),
    ("problem with ldap service", Kind.PASSING),
    ("command not allowed when used memory", Kind.FULL),  # of a script, without its word
    ("unknown command", Kind.CONFIG),  # too old, or renamed
    ("unknown subcommand", Kind.CONFIG),
    ("invalid password", Kind.CONFIG),
    ("'auth' command", Kind.CONFIG),
    ("without any password configured", Kind.CONFIG),
    ("no password is set", Kind.CONFIG),
    ("db index", Kind.CONFIG),
)
"""What an ERR says, where that decides; in small letters."""


def word_of(error: Exception) -> str:
    """The word with which the server began it; "" where it was not the server's."""
    said: BaseException | None = error
    while said is not None:  # while it connects, redis-py wraps what the server said
        if kept := getattr(said, "status_code", None):
            return str(kept)
        if isinstance(said, redis_errors.ResponseError):
            return str(said).lstrip("-").partition(" ")[0]
        said = said.__cause__
    return ""


def kind_of(error: Exception) -> Kind | None:
    """What an error of the server is; None when it is not the server's: no answer, a broken line."""
    word = word_of(error)
    if not word:
        return None
    kind = WORDS.get(word, Kind.FAULT)
    if kind is not Kind.FAULT:
        return kind
    text = str(error).lower()
    return next((known for sign, known in _TEXTS if sign in text), kind)
