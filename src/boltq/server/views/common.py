"""What the answers about jobs, workflows and queues have in common."""

from typing import Annotated, Final, NamedTuple

import msgspec

from boltq.broker.inspector import WorkerState
from boltq.domain.scopes import Scope
from boltq.server.http.caller import Caller

WorkerStateText = Annotated[
    WorkerState,
    msgspec.Meta(
        description="draining: claims nothing more. stopping: was told to end."
        " stale: its lease has run out; what it holds will be taken back"
    ),
]


class ActionView(msgspec.Struct, frozen=True, kw_only=True):
    """Something that may be done to a job, or why it may not."""

    name: str
    allowed: bool
    reason: str | None = None


class WhyView(msgspec.Struct, kw_only=True):
    """Why a job stands where it stands."""

    code: str
    text: str
    until: Annotated[str | None, msgspec.Meta(description="when that ends by itself, where this is known")] = None


class Rights(NamedTuple):
    """What a caller may see of a job, and do to it."""

    payload: bool = True
    operate: bool = True

    @classmethod
    def of(cls, caller: Caller) -> "Rights":
        """The rights of a caller."""
        return cls(caller.grants.allow(Scope.PAYLOAD), caller.grants.allow(Scope.OPERATE))


ALL_RIGHTS: Final = Rights()
NO_RIGHT: Final = f"this needs the scope {Scope.OPERATE}"


def raw_or_none(text: str | None) -> msgspec.Raw | None:
    """JSON text as it is; None stays None."""
    return None if text is None else msgspec.Raw(text)
