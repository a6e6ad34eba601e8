"""Calls about the audit log."""

from collections.abc import Sequence
from typing import Final

import msgspec

from boltq.broker.call import Call, Portion, Row, pack
from boltq.broker.replies import as_text

_HOME: Final = 0  # the partition


def note(texts: Sequence[str], keep: int) -> Call[str]:
    """Who, action, target, reason, request and result of a new entry; answers its id. About so many are kept."""
    return Call("audit_note", _HOME, (keep, pack(texts)), as_text)


def page(before: str, most: int, look_at: int, by: str, action: str) -> Call[Portion[list[Row]]]:
    """The newest entries before one, or of all (""); of one person or action, where `by` or `action` name one."""
    return Call("audit_page", _HOME, (before, most, look_at, by, action), _read_portion)


_read_portion: Final = msgspec.msgpack.Decoder(Portion[list[Row]]).decode
