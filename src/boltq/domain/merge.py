"""JSON merge patches (RFC 7396) on text: what a patch does not touch stays as it is, to the byte."""

from typing import Final

import msgspec

from boltq.domain import limits


def merge_patch(text: str, patch: str) -> str:
    """The JSON object with the patch applied: null removes a field, an object goes deeper, all else replaces.

    Fields keep their order, new ones come last; numbers that are not touched keep their digits. Raises ValueError
    when either is not a JSON object.
    """
    try:
        return _merged(text.encode(), patch.encode(), limits.MAX_DEPTH).decode()
    except msgspec.MsgspecError as error:
        raise ValueError(f"not a JSON object: {error}") from error


def _merged(target: bytes, patch: bytes, depth: int) -> bytes:
    if depth == 0:
        raise ValueError(f"deeper than {limits.MAX_DEPTH} levels")
    fields = _FIELDS.decode(target)
    for name, value in _FIELDS.decode(patch).items():
        raw = bytes(value)
        if raw == b"null":
            fields.pop(name, None)
        elif raw.startswith(b"{"):
            before = bytes(fields[name]) if name in fields else b"{}"
            fields[name] = msgspec.Raw(_merged(before if before.startswith(b"{") else b"{}", raw, depth - 1))
        else:
            fields[name] = value
    return msgspec.json.encode(fields)


_FIELDS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
