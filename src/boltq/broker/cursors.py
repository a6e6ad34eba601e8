"""Cursors as they are given out: a text of ours that nobody need read."""

import base64


def wrapped(text: str) -> str:
    """A cursor that says this; fit for a URL."""
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def unwrapped(cursor: str) -> str:
    """What a cursor says. Raises ValueError for what is none."""
    return base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
